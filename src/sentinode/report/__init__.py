"""Pages for people: one self-contained html file each, drawn from numbers; computes nothing."""
