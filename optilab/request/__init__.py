"""What is asked for: the options of commands, which are the keywords of `Lab` and the keys of studies, too."""
