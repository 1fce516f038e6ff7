//! Segments that travel as one, and what is counted of them.

use super::support::*;
use hearth_model::protocol::Zone;

/// `__sk_buff.gso_segs` and `gso_size`.
const SEGMENTS: usize = 164;
const SIZE: usize = 176;

/// The context of a packet that stands for `segments` of `size` bytes of data each.
fn context(segments: u32, size: u32) -> Vec<u8> {
    let mut context = vec![0; CONTEXT];
    context[SEGMENTS..SEGMENTS + 4].copy_from_slice(&segments.to_ne_bytes());
    context[SIZE..SIZE + 4].copy_from_slice(&size.to_ne_bytes());
    context
}

#[test]
fn what_fits_the_next_link_once_cut_passes_whole_and_counts_as_what_it_will_be() {
    // given a connection that is carried to a link of 1400 bytes
    let pins = Pins::new();
    let mut twins = Twins::new(&pins);
    let (ann, far) = ((ANN, 5_000), (FAR, 443));
    twins.run(Zone::Lan, &tcp(ann, far, 0x02, b""));
    twins.run(Zone::Wan, &tcp(far, (EXTERNAL, 5_000), 0x12, b""));
    twins.run(Zone::Lan, &tcp(ann, far, 0x10, b""));
    let large = tcp(ann, far, 0x10, &[0x55; 1_900]);
    let frame = [&[0; 12][..], &[8, 0], &large].concat();
    let passes = |twins: &Twins, context: &mut [u8]| {
        let [lan, ..] = &twins.programs;
        let run = lan.test_run(&frame, context, 1).unwrap();
        assert_eq!(run.value, REDIRECT);
        run.packet != frame
    };
    for (segments, size, fits) in [
        (2, 1_360, true),
        (2, 1_361, false),
        (0, 1_000, true),
        (0, 0, false),
    ] {
        // when it comes whole, to be cut into segments or not at all
        // then it passes where each of them fits
        let is = passes(&twins, &mut context(segments, size));
        assert_eq!(is, fits, "{segments} of {size}");
    }
    // and two segments have a header each
    let now = clock().tick;
    twins.nat.look_at_all(now);
    assert_eq!(twins.nat.counters().carried, (3, 2 * 1_940 + 40));
}
