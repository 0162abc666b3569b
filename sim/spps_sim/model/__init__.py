"""Reference models: blocks, the program in the instruction-set simulator, TCP played by hand."""
