"""What a recorded command's Python loads as it starts: first on its path, and off it at once"""
