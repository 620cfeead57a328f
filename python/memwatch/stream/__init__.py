"""Publishing by ZeroMQ: endpoints, keys, the publisher."""
