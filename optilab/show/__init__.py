"""Generic display: tables, charts, pages, progress. It imports no optimizer and no training."""
