"""What several commands share: options, output, start-up."""
