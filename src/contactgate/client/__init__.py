"""What a foreign client of the gate needs: which topic and key a message has, producing and reading. Decides nothing."""
