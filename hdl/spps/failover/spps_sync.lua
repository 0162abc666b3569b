-- Wireshark dissector of SPPS sync frames, format version 4 (README.md in this folder).
-- The tag is shown, not checked: that needs the key.
-- Use: wireshark -X lua_script:spps_sync.lua, or tshark with the same option.
local sync = Proto("spps_sync", "SPPS state synchronization")
local types = { [1] = "STATE", [2] = "CONFIRM", [3] = "HEARTBEAT", [4] = "ECHO", [5] = "JOIN", [6] = "START",
                [7] = "HANDOVER" }
local kinds = { [0] = "delta", [1] = "full", [2] = "retire", [3] = "end" }
local f = sync.fields
f.digest = ProtoField.uint32("spps_sync.digest", "Digest of the configuration", base.HEX)
f.connections = ProtoField.uint32("spps_sync.connections", "Connections of the standby")
f.exposed = ProtoField.uint16("spps_sync.exposed", "Connections without a record")
f.version = ProtoField.uint8("spps_sync.version", "Version")
f.type = ProtoField.uint8("spps_sync.type", "Type", base.DEC, types)
f.epoch = ProtoField.uint16("spps_sync.epoch", "Epoch")
f.number = ProtoField.uint32("spps_sync.number", "Record number")
f.conn = ProtoField.uint16("spps_sync.conn", "Connection")
f.line_mask = ProtoField.uint16("spps_sync.line_mask", "Line mask", base.HEX)
f.kind = ProtoField.uint8("spps_sync.kind", "Record kind", base.DEC, kinds)
f.length = ProtoField.uint16("spps_sync.length", "Length of the lines (bytes)")
f.stamp = ProtoField.uint32("spps_sync.stamp", "Heartbeat timestamp (clocks)")
f.clock = ProtoField.uint32("spps_sync.clock", "ISN clock (steps)")
f.tick = ProtoField.uint32("spps_sync.tick", "Tick counter (ticks)")
f.key = ProtoField.uint8("spps_sync.key", "Slot of the key", base.DEC, { [0] = "a", [1] = "b" })
f.session = ProtoField.uint32("spps_sync.session", "Session (upper half of the serial)")
f.serial = ProtoField.uint64("spps_sync.serial", "Serial", base.HEX)
f.heard = ProtoField.uint32("spps_sync.heard", "Session heard of the other unit")
f.tag = ProtoField.bytes("spps_sync.tag", "Tag (SipHash-2-4)")
f.line = ProtoField.bytes("spps_sync.line", "Flowstate line")
f.word = ProtoField.uint32("spps_sync.word", "Flowstate word", base.HEX)

local VERSION = 4
local HEADER = 42
local TAG = 8
local LINE = 32
local delta = { [0] = "flags", "epoch", "snd_una_0", "rcv_hint_0", "snd_una_1", "rcv_hint_1", "fin_seq_0", "fin_seq_1" }

function sync.dissector(buffer, pinfo, tree)
  if buffer:len() < HEADER + TAG or buffer(0, 1):uint() ~= VERSION then return 0 end
  pinfo.cols.protocol = "SPPS"
  local kind_of_frame = buffer(12, 1):uint()
  local number = buffer(4, 4):uint()
  local length = buffer(14, 2):uint()
  local root = tree:add(sync, buffer(0, math.min(HEADER + length + TAG, buffer:len())))
  root:add(f.version, buffer(0, 1))
  root:add(f.key, buffer(1, 1))
  root:add(f.type, buffer(12, 1))
  root:add(f.epoch, buffer(2, 2))
  local text = (types[kind_of_frame] or "type " .. kind_of_frame) .. " epoch " .. buffer(2, 2):uint()
  if kind_of_frame == 5 then
    root:add(f.digest, buffer(4, 4))
    root:add(f.connections, buffer(8, 2), buffer(8, 2):uint() + 1)
    text = text .. string.format(" digest 0x%08x", number)
  else
    root:add(f.number, buffer(4, 4))
    text = text .. " number " .. number
  end
  if kind_of_frame == 1 then
    root:add(f.conn, buffer(8, 2))
    root:add(f.line_mask, buffer(10, 2))
    root:add(f.kind, buffer(13, 1))
    root:add(f.length, buffer(14, 2))
    text = text .. " conn " .. buffer(8, 2):uint() .. " " .. (kinds[buffer(13, 1):uint()] or "?")
  elseif kind_of_frame == 3 or kind_of_frame == 6 then
    local member = buffer(13, 1):uint() >= 2
    root:add(f.kind, buffer(13, 1)):set_text("The standby is a member: " .. (member and "yes" or "no")
      .. "; the active depends on its echoes: " .. (buffer(13, 1):uint() % 2 == 1 and "yes" or "no"))
    root:add(f.exposed, buffer(8, 2))
    text = text .. (member and "" or " no standby") .. " exposed " .. buffer(8, 2):uint()
  end
  if kind_of_frame == 7 then
    root:add(f.kind, buffer(13, 1)):set_text("All that was sent is acknowledged: " .. (buffer(13, 1):uint() % 2 == 1 and "yes" or "no"))
  end
  root:add(f.stamp, buffer(16, 4))
  root:add(f.clock, buffer(20, 4))
  root:add(f.tick, buffer(24, 4))
  root:add(f.serial, buffer(28, 8))
  root:add(f.session, buffer(28, 4))
  root:add(f.heard, buffer(36, 4))
  if kind_of_frame == 1 then
    local mask = buffer(10, 2):uint()
    local at = HEADER
    for line = 0, 15 do
      if math.floor(mask / 2 ^ line) % 2 == 1 then
        if at + LINE + TAG > buffer:len() then break end
        local branch = root:add(f.line, buffer(at, LINE)):set_text("Line " .. line)
        for word = 0, 7 do
          local item = branch:add(f.word, buffer(at + 4 * word, 4))
          item:prepend_text((line == 0 and delta[word] or "word " .. (8 * line + word)) .. ": ")
        end
        at = at + LINE
      end
    end
  end
  if HEADER + length + TAG <= buffer:len() then root:add(f.tag, buffer(HEADER + length, TAG)) end
  pinfo.cols.info = text
  return buffer:len()
end

DissectorTable.get("ethertype"):add(0x88B5, sync)
