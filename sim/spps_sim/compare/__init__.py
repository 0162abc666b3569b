"""The transfers of the demo through HAProxy with keepalived, whose active proxy dies in the middle."""
