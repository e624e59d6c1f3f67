"""Two sites are lost: a ZooKeeper quorum from one site's own data, and the way back to three."""
