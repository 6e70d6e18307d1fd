"""Everything a config accepts, as types: one definition gives a key's type, range, default and help text."""
