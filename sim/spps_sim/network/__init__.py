"""What is around a pair: links with faults, Python peers in simulated time, namespaces with TAP devices, kernel transfers."""
