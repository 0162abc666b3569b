"""cocotb bench of a pair in a four-state simulator: too slow for a transfer; it shows an X in what leaves the pair."""
import os
import pickle
from pathlib import Path

import cocotb
from cocotb.task import bridge

from spps.gen import preset_params
from spps.mmc import register_addresses
from spps_sim.backend.simulation import Simulation
from spps_sim.campaign.scenario import CLIENT, VIP, Scenario
from spps_sim.checker.wire import SYN
from spps_sim.peers.frames import (
    BROADCAST,
    Arp,
    arp_frame,
    ip_number,
    mac_bytes,
    tcp_frame,
)
from spps_sim.testbench.cocotb_pair import CocotbPair

PARAMS = preset_params("tiny")
OURS, THEIRS = bytes.fromhex("02005e5d5001"), mac_bytes("02:00:00:00:00:0c")
CYCLES = 2600


def opening(sim):
    """An ARP request and a SYN right after the reset; every frame of the first CYCLES cycles."""
    registers = Scenario().pair_registers()
    names = ("mode", "vip_0", "vip_1", "server_ip", "server_mac_hi", "server_mac_lo", "hb_interval")
    sim.configure({name: registers[name] for name in names})
    sim.push_frame(0, arp_frame(BROADCAST, Arp(1, THEIRS, ip_number(CLIENT), bytes(6), ip_number(VIP[0]))))
    sim.push_frame(0, tcp_frame(OURS, THEIRS, (ip_number(CLIENT), 40000), (ip_number(VIP[0]), 80), seq=5, ack=0,
                                flags=SYN, window=1000))
    sim.step(CYCLES - sim.cycle)
    return [tuple(frame) for frame in sim.pop_frames()]


@cocotb.test()
async def nothing_unknown_leaves_the_pair(dut):
    pair = CocotbPair(dut, PARAMS.data_width)
    await pair.start()
    frames = await bridge(opening)(Simulation(pair, register_addresses(PARAMS), PARAMS))
    Path(os.environ["SPPS_P_FRAMES"]).write_bytes(pickle.dumps(frames))
