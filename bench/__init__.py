"""The counting engine measured side by side with its peers: `python3 -m bench` (`make bench`)."""
