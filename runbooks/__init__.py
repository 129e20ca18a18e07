"""The operator's console: commands of `holdfast` for those who run the platform."""
