"""Charts that several commands and pages draw: trainings, settings, paths and races."""
