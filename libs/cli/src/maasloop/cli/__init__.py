"""The maasloop command."""
