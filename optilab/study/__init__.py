"""Many runs and many rules side by side; nothing here imports torch at its top."""
