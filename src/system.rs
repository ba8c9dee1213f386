//! Which system a session belongs to, by rules that its user orders.
