"""What is around a pair: links with faults, peers in simulated time, namespaces with TAP devices, transfers."""
