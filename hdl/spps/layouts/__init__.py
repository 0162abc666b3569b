"""Layouts of messages, events, flowstate and streams, and the codes in them: one module for each block or stream."""
