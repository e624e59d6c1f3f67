"""The only package that talks to ZooKeeper."""
