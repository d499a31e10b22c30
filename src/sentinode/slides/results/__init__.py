"""What a scan finds: heat map, lesions, tables and pictures."""
