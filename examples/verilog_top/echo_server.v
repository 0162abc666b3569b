// An SPPS inside somebody's Verilog: an echo server that needs no host.
//
// Module `spps` comes from `spps verilog --preset tiny`; `registers.vh` from `spps registers --preset tiny --format verilog`.
// After reset a small sequencer writes the registers; then TCP port 7 echoes and port 9 discards on both addresses.
`default_nettype none

module echo_server (
    input  wire        clk,
    input  wire        rst,
    input  wire [67:0] i_spi4_payload,      // four SPI-4 words, then a control flag for each
    input  wire        i_spi4_valid,
    output wire [67:0] o_spi4_payload,
    output wire        o_spi4_valid,
    output wire        ready,               // the registers are written
    output wire        active
);
`include "registers.vh"

    // address, value: no standby (policy, grant), endpoint mode, 10.3.0.1 on port 0, 10.4.0.1 on port 1
    localparam WRITES = 6;
    reg [47:0] write;
    reg [2:0]  index;
    always @* case (index)
        3'd0:    write = {`SPPS_CFG_MODE, 32'd0};
        3'd1:    write = {`SPPS_CFG_VIP_0, 32'h0A030001};
        3'd2:    write = {`SPPS_CFG_VIP_1, 32'h0A040001};
        3'd3:    write = {`SPPS_HB_INTERVAL, 32'd0};
        3'd4:    write = {`SPPS_POLICY, 32'd1};
        default: write = {`SPPS_GRANT, 32'd1};
    endcase
    wire register_ready;
    assign ready = index == WRITES;
    always @(posedge clk)
        if (rst) index <= 3'd0;
        else if (!ready && register_ready) index <= index + 3'd1;

    spps spps (
        .clk(clk), .rst(rst), .enable(1'b1), .unit(1'b0), .detector(1'b0), .role_init(1'b1),
        .i_spi4__payload(i_spi4_payload), .i_spi4__valid(i_spi4_valid), .status_o(),
        .o_spi4__payload(o_spi4_payload), .o_spi4__valid(o_spi4_valid), .status_i(6'd0),
        // the sync link is open: nothing comes in, what goes out is dropped
        .i_sync__payload({77{1'b0}}), .i_sync__valid(1'b0), .i_sync__ready(),
        .o_sync__payload(), .o_sync__valid(), .o_sync__ready(1'b1),
        // RegisterRequest: write, data, address
        .i_mmc__payload({1'b1, write[31:0], write[47:32]}), .i_mmc__valid(!ready), .i_mmc__ready(register_ready),
        .o_mmc__payload(), .o_mmc__valid(), .o_mmc__ready(1'b1),
        .active(active), .epoch(), .steer(), .issued(), .confirmed(), .delivered(), .done(), .copied()
    );
endmodule

`default_nettype wire
