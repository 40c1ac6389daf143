-- What padtap knows of payloads, for Wireshark: a post-dissector that adds padtap.signature, padtap.service, padtap.role
-- and padtap.meaning to the packets that show one of padtap's signatures.
--
-- Written by `padtap knowledge export --wireshark`: export again rather than edit.
--
-- It looks as padtap does. A flow's first payloads (four datagrams, or one segment, each way) show what the flow is;
-- later packets are labelled where they show the same again. Some signatures need the server to be in a certain network,
-- or the console to have sent as much to several servers: in one pass (tshark without -2) those are labelled from the
-- packet on that completes the evidence.

--TABLES--

local DATAGRAMS, SEGMENTS = 4, 1
local TEXT_WITHIN = 512
-- Bursts to several servers.
local LONGEST_PROBE, BURST_PAUSE = 128, 5
-- Copies that a mirror makes of a packet are as close as this, in seconds.
local COPY = 0.003

local padtap = Proto("padtap", "padtap")
local field = {
    signature = ProtoField.string("padtap.signature", "Signature"),
    service = ProtoField.string("padtap.service", "Service"),
    role = ProtoField.string("padtap.role", "Role"),
    meaning = ProtoField.string("padtap.meaning", "Meaning"),
}
padtap.fields = { field.signature, field.service, field.role, field.meaning }

local udp_payload, udp_length = Field.new("udp.payload"), Field.new("udp.length")
local tcp_payload, tcp_length = Field.new("tcp.payload"), Field.new("tcp.len")

-- An address as a string of ones and zeros.
local function bits_of(bytes)
    local bits = {}
    for _, byte in ipairs(bytes) do
        for place = 7, 0, -1 do
            bits[#bits + 1] = math.floor(byte / 2 ^ place) % 2 == 1 and "1" or "0"
        end
    end
    return table.concat(bits)
end

local function bits_of_v6(text)
    local groups, gap = {}, nil
    for group in (text:gsub("::", ":*:")):gmatch("[^:]+") do
        if group == "*" then
            gap = #groups
        else
            groups[#groups + 1] = tonumber(group, 16) or 0
        end
    end
    local bytes = {}
    for place, group in ipairs(groups) do
        bytes[2 * place - 1], bytes[2 * place] = math.floor(group / 256), group % 256
    end
    while gap and #bytes < 16 do
        table.insert(bytes, 2 * gap + 1, 0)
    end
    return bits_of(bytes)
end

local function bits_of_address(text)
    local a, b, c, d = text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
    if a then
        return bits_of({ tonumber(a), tonumber(b), tonumber(c), tonumber(d) })
    end
    return bits_of_v6(text)
end

local function prefixes(texts)
    local list = {}
    for place, text in ipairs(texts) do
        local address, length = text:match("^(.*)/(%d+)$")
        list[place] = { six = address:find(":", 1, true) ~= nil, bits = bits_of_address(address):sub(1, tonumber(length)) }
    end
    return list
end

local function is_in(list, text)
    local six, bits = text:find(":", 1, true) ~= nil, bits_of_address(text)
    for _, prefix in ipairs(list) do
        if prefix.six == six and bits:sub(1, #prefix.bits) == prefix.bits then
            return true
        end
    end
    return false
end

local LOCAL = prefixes({
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "0.0.0.0/32",
    "224.0.0.0/4", "255.255.255.255/32", "fc00::/7", "fe80::/10", "::1/128", "::/128", "ff00::/8",
})
local MULTICAST = prefixes({ "224.0.0.0/4", "ff00::/8" })
for id, texts in pairs(NETWORKS) do
    NETWORKS[id] = prefixes(texts)
end

-- What was found in this capture; emptied when another is opened.
local flows, hits, bursts

function padtap.init()
    flows, hits, bursts = {}, {}, {}
end

-- The flow of a packet, and whether the packet goes from its source.
local function flow_of(transport, pinfo)
    local one, other = tostring(pinfo.src), tostring(pinfo.dst)
    local here, there = one .. " " .. pinfo.src_port, other .. " " .. pinfo.dst_port
    local key = transport .. " " .. (here < there and here .. " " .. there or there .. " " .. here)
    local flow = flows[key]
    if not flow then
        flow = { source = here, looked = { 0, 0 }, shown = {} }
        -- The console is on the local network; of two hosts there, it is who sent first.
        flow.from_source = not (is_in(LOCAL, other) and not is_in(LOCAL, one))
        flow.client, flow.server = one, other
        if not flow.from_source then
            flow.client, flow.server = other, one
        end
        flows[key] = flow
    end
    return flow, here == flow.source
end

local function covers(range, value)
    return not range or (range[1] <= value and value <= range[2])
end

local function goes(direction, up)
    return direction == "any" or (direction == "up") == up
end

local function has_port(ranges, pinfo)
    if not ranges then
        return true
    end
    for _, range in ipairs(ranges) do
        if covers(range, pinfo.src_port) or covers(range, pinfo.dst_port) then
            return true
        end
    end
    return false
end

-- Whether values of bytes stand at a place; -1 is any. A place before the start counts from the end on the wire.
local function stands(bytes, payload, length)
    local start = bytes.at >= 0 and bytes.at or length + bytes.at
    if start < 0 then
        return false
    end
    for place, wanted in ipairs(bytes) do
        local byte = payload:byte(start + place)
        if not byte or (wanted >= 0 and wanted ~= byte) then
            return false
        end
    end
    return true
end

local function fits(pattern, payload, length, up)
    if not (goes(pattern.direction, up) and covers(pattern.length, length)) then
        return false
    end
    for _, bytes in ipairs(pattern.bytes) do
        if not stands(bytes, payload, length) then
            return false
        end
    end
    return true
end

local function shows(signature, transport, payload, length, up, pinfo)
    if signature.transport ~= transport or not goes(signature.direction, up) then
        return false
    end
    if not (covers(signature.length, length) and has_port(signature.ports, pinfo)) then
        return false
    end
    for _, pattern in ipairs(signature.patterns) do
        if fits(pattern, payload, length, up) then
            return true
        end
    end
    local beginning = payload:sub(1, TEXT_WITHIN)
    for _, text in ipairs(signature.text) do
        if beginning:find(text, 1, true) then
            return true
        end
    end
    return false
end

-- The first payload of a flow joins the burst of those that its console sent of the same length.
local function join_burst(flow, length, time)
    if length > LONGEST_PROBE or is_in(MULTICAST, flow.server) then
        return
    end
    local key = flow.client .. " " .. length
    local burst = bursts[key]
    if not burst or time - burst.latest > BURST_PAUSE then
        burst = { servers = {}, count = 0 }
        bursts[key] = burst
    end
    burst.latest = time
    if not burst.servers[flow.server] then
        burst.servers[flow.server], burst.count = true, burst.count + 1
    end
    flow.burst = burst
end

local function is_copy(flow, way, payload, time)
    local before = flow[way]
    flow[way] = { payload = payload, time = time }
    return before ~= nil and before.payload == payload and time - before.time <= COPY
end

-- Looks at a packet for the first time.
local function look(transport, payload, length, pinfo)
    local flow, from_source = flow_of(transport, pinfo)
    local up, way, time = from_source == flow.from_source, from_source and 1 or 2, tonumber(tostring(pinfo.abs_ts))
    local copy = is_copy(flow, way == 1 and "out" or "back", payload, time)
    local early = flow.looked[way] < (transport == "udp" and DATAGRAMS or SEGMENTS)
    if early and not copy then
        flow.looked[way] = flow.looked[way] + 1
        if flow.looked[way] == 1 and up and transport == "udp" then
            join_burst(flow, length, time)
        end
    end
    local found = {}
    for place, signature in ipairs(SIGNATURES) do
        if (early or flow.shown[place]) and shows(signature, transport, payload, length, up, pinfo) then
            flow.shown[place] = true
            found[#found + 1] = place
        end
    end
    return #found > 0 and { flow = flow, signatures = found } or false
end

-- Whether the conditions hold that bytes alone do not show.
local function holds(signature, flow)
    if signature.servers and (not flow.burst or flow.burst.count < signature.servers) then
        return false
    end
    if not signature.network then
        return true
    end
    for _, id in ipairs(signature.network) do
        if is_in(NETWORKS[id] or {}, flow.server) then
            return true
        end
    end
    return false
end

-- The innermost of a field's values.
local function last(...)
    local values = { ... }
    return values[#values]
end

function padtap.dissector(buffer, pinfo, tree)
    local hit = hits[pinfo.number]
    if hit == nil then
        local transport, payload, length = "udp", last(udp_payload()), last(udp_length())
        if payload then
            length = length.value - 8
        else
            transport, payload, length = "tcp", last(tcp_payload()), last(tcp_length())
            length = length and length.value
        end
        hit = payload and look(transport, payload.range:bytes():raw(), length, pinfo) or false
        hits[pinfo.number] = hit
    end
    if not hit then
        return
    end
    local branch
    for _, place in ipairs(hit.signatures) do
        local signature = SIGNATURES[place]
        if holds(signature, hit.flow) then
            branch = branch or tree:add(padtap)
            branch:add(field.signature, signature.id)
            branch:add(field.meaning, signature.name)
            if signature.service then
                branch:add(field.service, signature.service)
            end
            if signature.role then
                branch:add(field.role, signature.role)
            end
        end
    end
end

register_postdissector(padtap)
