"""An invented catalog whose truth is known: composed, played and listened to by the modules in here."""
