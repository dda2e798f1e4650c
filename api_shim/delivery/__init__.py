"""Sends notifications: by a mail server, or by apprise to services that people name."""
