// A stand-in for spps_pair with its ports: swaps ports 0 and 1, stores registers, changes role on kill, shows link controls.
module spps_pair(clk, rst, i__payload, i__valid, i__ready, o__payload, o__valid, o__ready,
    tap_sync_0__payload, tap_sync_0__valid, tap_sync_1__payload, tap_sync_1__valid, kill, freeze, detector, appoint, power_up, link_0, link_1,
    i_mmc_0__payload, i_mmc_0__valid, i_mmc_0__ready, o_mmc_0__payload, o_mmc_0__valid, o_mmc_0__ready,
    i_mmc_1__payload, i_mmc_1__valid, i_mmc_1__ready, o_mmc_1__payload, o_mmc_1__valid, o_mmc_1__ready,
    active, epoch_0, epoch_1, issued_0, issued_1, confirmed_0, confirmed_1, delivered_0, delivered_1, done_0, done_1, copied_0, copied_1, activity_0, activity_1);
  localparam W = @W@, E = @E@, P = W + 8 + E + 2;
  input clk;
  input rst;
  input [@M@:0] i__payload;
  input i__valid;
  output i__ready;
  output reg [@M@:0] o__payload;
  output reg o__valid;
  input o__ready;
  output [@M@:0] tap_sync_0__payload;
  output tap_sync_0__valid;
  output [@M@:0] tap_sync_1__payload;
  output tap_sync_1__valid;
  input [1:0] kill;
  input [1:0] freeze;
  input [1:0] detector;
  input [1:0] power_up;
  input [1:0] appoint;
  input [98:0] link_0;
  input [98:0] link_1;
  input [48:0] i_mmc_0__payload;
  input i_mmc_0__valid;
  output i_mmc_0__ready;
  output reg [31:0] o_mmc_0__payload;
  output reg o_mmc_0__valid;
  input o_mmc_0__ready;
  input [48:0] i_mmc_1__payload;
  input i_mmc_1__valid;
  output i_mmc_1__ready;
  output [31:0] o_mmc_1__payload;
  output o_mmc_1__valid;
  input o_mmc_1__ready;
  output reg [1:0] active;
  output reg [15:0] epoch_0;
  output [15:0] epoch_1;
  output [69:0] activity_0;
  output [69:0] activity_1;
  assign activity_0 = 0;
  assign activity_1 = 0;
  output [31:0] issued_0;
  output [31:0] issued_1;
  output [31:0] confirmed_0;
  output [31:0] confirmed_1;
  output [31:0] delivered_0;
  output [31:0] delivered_1;
  output [31:0] done_0;
  output [31:0] done_1;
  output [31:0] copied_0;
  output [31:0] copied_1;
  reg [31:0] memory [0:255];
  reg [2:0] count;
  // the input stalls every eighth clock, so that words have to wait
  assign i__ready = (!o__valid || o__ready) && count != 0;
  assign tap_sync_0__payload = o__payload;
  assign tap_sync_0__valid = o__valid && o__ready;
  assign tap_sync_1__payload = 0;
  assign tap_sync_1__valid = 0;
  assign i_mmc_0__ready = !o_mmc_0__valid;
  assign i_mmc_1__ready = 0;
  assign o_mmc_1__payload = 0;
  assign o_mmc_1__valid = 0;
  assign epoch_1 = 0;
  assign {issued_0, confirmed_0, delivered_0, done_0} = {29'b0, link_0};
  assign {issued_1, confirmed_1, delivered_1, done_1} = {29'b0, link_1};
  assign {copied_0, copied_1} = 0;
  always @(posedge clk) begin
    count <= count + 1;
    if (i__ready) begin
      o__valid <= i__valid && !(active & kill);
      o__payload <= i__payload ^ ({{(P-1){1'b0}}, 1'b1} << W);
    end else if (o__ready) o__valid <= 0;
    o_mmc_0__valid <= i_mmc_0__valid && i_mmc_0__ready && !i_mmc_0__payload[48];
    if (i_mmc_0__valid && i_mmc_0__ready) begin
      if (i_mmc_0__payload[48]) memory[i_mmc_0__payload[9:2]] <= i_mmc_0__payload[47:16];
      o_mmc_0__payload <= memory[i_mmc_0__payload[9:2]];
    end
    if (active & kill) begin active <= ~active; epoch_0 <= epoch_0 + 1; end
    if (rst) begin o__valid <= 0; o_mmc_0__valid <= 0; active <= 1; epoch_0 <= 0; count <= 0; end
  end
endmodule
