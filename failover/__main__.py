"""``python -m failover``: the same as the console script."""

from failover.cli.main import main

if __name__ == "__main__":
    main()
