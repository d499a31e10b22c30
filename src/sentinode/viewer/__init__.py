"""The viewer: slides, heat maps and decisions in the browser."""
