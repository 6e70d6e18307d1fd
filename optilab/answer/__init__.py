"""What commands return, and how every medium shows it: tables, comparisons, diagnoses, trajectories, charts."""
