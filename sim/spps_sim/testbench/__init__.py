"""From an Amaranth component to a cocotb bench: runner, drivers and monitors, the pair under cocotb."""
