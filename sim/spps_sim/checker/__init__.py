"""What frames say: parsers by the standards, captures, the invariant monitor, data states, the ACK rule."""
