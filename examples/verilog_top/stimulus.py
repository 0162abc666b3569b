"""Write 64 SPI-4 groups of 4 words, an ARP request for 10.3.0.1 on port 0 and idle words: python stimulus.py FILE."""
import sys

from spps_sim.model.spi4 import Transmitter, bursts_of

REQUEST = bytes.fromhex("ffffffffffff 020000000010 0806"
                        "0001 0800 06 04 0001 020000000010 0a030002 000000000000 0a030001").ljust(60, b"\0")

if __name__ == "__main__":
    transmitter = Transmitter()
    lines = []
    for group in range(64):
        if group == 8:
            transmitter.queue.extend(bursts_of(REQUEST, 0, 64))
        words = [transmitter.next() for _ in range(4)]
        lines.append(f"{sum(control << lane for lane, (_, control) in enumerate(words)):x}"
                     + "".join(f"{word:04x}" for word, _ in reversed(words)))
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")
