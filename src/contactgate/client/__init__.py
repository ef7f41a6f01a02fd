"""What a foreign client of the gate needs: topic and key of a message, producing and reading. Decides nothing."""
