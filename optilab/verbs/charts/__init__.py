"""Subjects as charts: trainings, paths, maps, range tests and races."""
