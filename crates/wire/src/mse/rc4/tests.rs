//! RC4 against RFC 6229, section 2: 16 bytes of keystream at each of 18 offsets, for keys of 5, 16 and 32 bytes.

use super::*;

/// Length of the key, whose bytes count up from 1, and the keystream at offsets.
const VECTORS: [(u8, [(usize, u128); 18]); 3] = [
    (
        5,
        [
            (0x0000, 0xb2396305_f03dc027_ccc3524a_0a1118a8),
            (0x0010, 0x6982944f_18fc82d5_89c403a4_7a0d0919),
            (0x00f0, 0x28cb1132_c96ce286_421dcaad_b8b69eae),
            (0x0100, 0x1cfcf62b_03eddb64_1d77dfcf_7f8d8c93),
            (0x01f0, 0x42b7d0cd_d918a8a3_3dd51781_c81f4041),
            (0x0200, 0x64598444_32a7da92_3cfb3eb4_980661f6),
            (0x02f0, 0xec10327b_de2beefd_18f92776_80457e22),
            (0x0300, 0xeb62638d_4f0ba1fe_9fca20e0_5bf8ff2b),
            (0x03f0, 0x45129048_e6a0ed0b_56b49033_8f078da5),
            (0x0400, 0x30abbcc7_c20b0160_9f23ee2d_5f6bb7df),
            (0x05f0, 0x3294f744_d8f97905_07e70f62_e5bbceea),
            (0x0600, 0xd8729db4_1882259b_ee4f8253_25f5a130),
            (0x07f0, 0x1eb14a0c_13b3bf47_fa2a0ba9_3ad45b8b),
            (0x0800, 0xcc582f8b_a9f265e2_b1be9112_e975d2d7),
            (0x0bf0, 0xf2e30f9b_d102ecbf_75aaade9_bc35c43c),
            (0x0c00, 0xec0e11c4_79dc329d_c8da7968_fe965681),
            (0x0ff0, 0x068326a2_118416d2_1f9d04b2_cd1ca050),
            (0x1000, 0xff25b589_95996707_e51fbdf0_8b34d875),
        ],
    ),
    (
        16,
        [
            (0x0000, 0x9ac7cc9a_609d1ef7_b2932899_cde41b97),
            (0x0010, 0x5248c495_9014126a_6e8a84f1_1d1a9e1c),
            (0x00f0, 0x065902e4_b620f6cc_36c8589f_66432f2b),
            (0x0100, 0xd39d566b_c6bce301_07681515_49f3873f),
            (0x01f0, 0xb6d1e6c4_a5e4771c_ad79538d_f295fb11),
            (0x0200, 0xc68c1d5c_559a9741_23df1dbc_52a43b89),
            (0x02f0, 0xc5ecf88d_e897fd57_fed30170_1b82a259),
            (0x0300, 0xeccbe13d_e1fcc91c_11a0b26c_0bc8fa4d),
            (0x03f0, 0xe7a72574_f8782ae2_6aabcf9e_bcd66065),
            (0x0400, 0xbdf0324e_6083dcc6_d3cedd3c_a8c53c16),
            (0x05f0, 0xb40110c4_190b5622_a96116b0_017ed297),
            (0x0600, 0xffa0b514_647ec04f_6306b892_ae661181),
            (0x07f0, 0xd03d1bc0_3cd33d70_dff9fa5d_71963ebd),
            (0x0800, 0x8a441264_11eaa78b_d51e8d87_a8879bf5),
            (0x0bf0, 0xfabeb760_28ade2d0_e48722e4_6c4615a3),
            (0x0c00, 0xc05d88ab_d50357f9_35a63c59_ee537623),
            (0x0ff0, 0xff38265c_1642c1ab_e8d3c2fe_5e572bf8),
            (0x1000, 0xa36a4c30_1ae8ac13_610ccbc1_2256cacc),
        ],
    ),
    (
        32,
        [
            (0x0000, 0xeaa6bd25_880bf93d_3f5d1e4c_a2611d91),
            (0x0010, 0xcfa45c9f_7e714b54_bdfa8002_7cb14380),
            (0x00f0, 0x114ae344_ded71b35_f2e60feb_ad727fd8),
            (0x0100, 0x02e1e705_6b0f6239_00496422_943e97b6),
            (0x01f0, 0x91cb93c7_87964e10_d9527d99_9c6f936b),
            (0x0200, 0x49b18b42_f8e8367c_beb5ef10_4ba1c7cd),
            (0x02f0, 0x87084b3b_a700bade_95561067_2745b374),
            (0x0300, 0xe7a7b9e9_ec540d5f_f43bdb12_792d1b35),
            (0x03f0, 0xc799b596_738f6b01_8c76c74b_1759bd90),
            (0x0400, 0x7fec5bfd_9f9b89ce_65483090_92d7e958),
            (0x05f0, 0x40f250b2_6d1f096a_4afd4c34_0a588815),
            (0x0600, 0x3e34135c_79db0102_00767651_cf263073),
            (0x07f0, 0xf656abcc_f88dd827_027b2ce9_17d464ec),
            (0x0800, 0x18b62503_bfbc077f_babb98f2_0d98ab34),
            (0x0bf0, 0x8aed95ee_5b0dcbfb_ef4eb21d_3a3f52f9),
            (0x0c00, 0x625a1ab0_0ee39a53_27346bdd_b01a9c18),
            (0x0ff0, 0xa13a7c79_c7e119b5_ab0296ab_28c300b9),
            (0x1000, 0xf3e4c0a2_e02d1d01_f7f0a746_18af2b48),
        ],
    ),
];

#[test]
fn keystreams_are_those_of_rfc_6229() {
    for (len, vectors) in VECTORS {
        let key: Vec<u8> = (1..=len).collect();
        for (offset, expected) in vectors {
            let mut stream = vec![0; offset + 16];
            Rc4::new(&key).apply(&mut stream);
            assert_eq!(stream[offset..], expected.to_be_bytes(), "{len} bytes of key, offset {offset:#x}");
        }
    }
}

#[test]
fn mse_begins_after_1_024_bytes() {
    let (key, mut whole) = ([5; 20], [0; 1034]);
    Rc4::new(&key).apply(&mut whole);
    assert_eq!(Rc4::of_mse(&key).peek::<10>(), whole[1024..]);
}

#[test]
fn looking_ahead_moves_nothing() {
    let mut rc4 = Rc4::new(&[1, 2, 3]);
    let ahead = rc4.peek::<5>();
    let mut bytes = [0; 5];
    rc4.apply(&mut bytes);
    assert_eq!(bytes, ahead);
}
