"""Publish over ZeroMQ: endpoints, keys, the publisher."""
