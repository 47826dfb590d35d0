"""The installation's API as processes of it call it: a port, and a client over HTTP."""
