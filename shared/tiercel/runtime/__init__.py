"""What every service is made of: settings, adapters, clock, leases, logging, metrics, health."""
