"""One module for each command: what may be asked, what is done, how the answer reads."""
