"""The gateway's own API: jobs in, outcomes out, now or later; models, policies, and whether the gateway is well."""
