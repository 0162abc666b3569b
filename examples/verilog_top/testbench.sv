// Sends the words of stimulus.hex (an ARP request in SPI-4 bursts, made by stimulus.py) and waits for the reply.
`timescale 1ns / 1ps
module testbench;
    reg clk = 0, rst = 1;
    always #5 clk = ~clk;

    reg  [67:0] stimulus [0:63];
    reg  [5:0]  place = 0;
    wire [67:0] out;
    wire        out_valid, ready, active;
    initial $readmemh("stimulus.hex", stimulus);

    echo_server dut (
        .clk(clk), .rst(rst), .i_spi4_payload(stimulus[place]), .i_spi4_valid(1'b1),
        .o_spi4_payload(out), .o_spi4_valid(out_valid), .ready(ready), .active(active)
    );

    // the last eleven data words; an ARP reply has type 0806 and, four words behind it, operation 2; that to the host of
    // the request goes to its address, 020000000010, while an announcement goes to all
    reg [15:0] words [0:10];
    integer clocks = 0, lane, n;
    always @(posedge clk) begin
        clocks <= clocks + 1;
        if (clocks == 4) rst <= 0;
        if (ready && clocks > 4000 && place != 63) place <= place + 1;     // the tables are swept by then
        if (out_valid) for (lane = 0; lane < 4; lane = lane + 1) if (!out[64 + lane]) begin
            for (n = 10; n > 0; n = n - 1) words[n] = words[n - 1];
            words[0] = out[16 * lane +: 16];
            if (words[4] == 16'h0806 && words[0] == 16'h0002 && words[10] == 16'h0200 && words[8] == 16'h0010) begin
                $display("clock %0d: PASS, ARP reply", clocks);
                $finish;
            end
        end
        if (clocks == 12000) begin
            $display("FAIL: no ARP reply in %0d clocks (ready %b, active %b)", clocks, ready, active);
            $fatal;
        end
    end
endmodule
