"""The test kit that ships with Tiercel: factories, harness, scripted worker, fake clock."""
