"""Many runs: checks, diagnoses, comparisons that read run directories. Nothing imports torch at its top."""
