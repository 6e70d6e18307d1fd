"""Generic display: tables, charts, pages, progress. It knows no subject."""
