//! Record data of every type: text to wire form and back.

use resolver::zone::{rdata_to_text, read_zone_file, type_from_text};

use crate::support::EXAMPLE;

fn wire(rtype: &str, text: &str) -> Vec<u8> {
    let file = format!("x 60 {rtype} {text}\n");
    let mut loader = |_: &str, _: &str| Err(String::new());
    let records = read_zone_file(file.as_bytes(), "f", EXAMPLE, &mut loader);
    let records = records.unwrap_or_else(|error| panic!("{rtype} {text}: {error}"));
    records.iter().next().expect("a record").data.to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Type, text as written, text as shown, data in hexadecimal.
pub(crate) const CASES: &[(&str, &str, &str, &str)] = &[
    ("A", "192.0.2.1", "192.0.2.1", "c0000201"),
    ("NS", "ns", "ns.example.", "026e73076578616d706c6500"),
    ("MD", "a.", "a.", "016100"),
    ("MF", "a.", "a.", "016100"),
    ("CNAME", "@", "example.", "076578616d706c6500"),
    (
        "SOA",
        "a. b. 4294967295 1h 15m 2w 300",
        "a. b. 4294967295 3600 900 1209600 300",
        "016100016200ffffffff00000e1000000384001275000000012c",
    ),
    ("MB", "a.", "a.", "016100"),
    ("MG", "a.", "a.", "016100"),
    ("MR", "a.", "a.", "016100"),
    ("NULL", "\\# 2 ABcd", "\\# 2 abcd", "abcd"),
    ("WKS", "\\# 5 0102030406", "\\# 5 0102030406", "0102030406"),
    ("PTR", "A.B.", "a.b.", "0161016200"),
    (
        "HINFO",
        "\"PC AT\" Linux",
        "\"PC AT\" \"Linux\"",
        "055043204154054c696e7578",
    ),
    ("MINFO", "a. b.", "a. b.", "016100016200"),
    ("MX", "10 .", "10 .", "000a00"),
    (
        "TXT",
        "a \"b c\" \"\"",
        "\"a\" \"b c\" \"\"",
        "01610362206300",
    ),
    ("RP", "a. b.", "a. b.", "016100016200"),
    ("AFSDB", "1 a.", "1 a.", "0001016100"),
    (
        "X25",
        "311061700956",
        "\"311061700956\"",
        "0c333131303631373030393536",
    ),
    (
        "ISDN",
        "150862028003217 004",
        "\"150862028003217\" \"004\"",
        "0f31353038363230323830303332313703303034",
    ),
    ("RT", "10 a.", "10 a.", "000a016100"),
    (
        "KEY",
        "256 3 RSASHA256 AQI=",
        "256 3 8 AQI=",
        "010003080102",
    ),
    ("PX", "10 a. b.", "10 a. b.", "000a016100016200"),
    (
        "GPOS",
        "-32.6882 116.8652 10.0",
        "\"-32.6882\" \"116.8652\" \"10.0\"",
        "082d33322e36383832083131362e383635320431302e30",
    ),
    (
        "AAAA",
        "2001:DB8::1",
        "2001:db8::1",
        "20010db8000000000000000000000001",
    ),
    (
        "AAAA",
        "::ffff:192.0.2.1",
        "::ffff:192.0.2.1",
        "00000000000000000000ffffc0000201",
    ),
    ("SRV", "1 2 65535 A.", "1 2 65535 a.", "00010002ffff016100"),
    (
        "NAPTR",
        "100 50 \"s\" \"http+I2L+I2C+I2R\" \"\" _http._tcp.gatech.edu.",
        "100 50 \"s\" \"http+I2L+I2C+I2R\" \"\" _http._tcp.gatech.edu.",
        "00640032017310687474702b49324c2b4932432b49325200055f68747470045f746370066761746563680365647500",
    ),
    ("KX", "1 a.", "1 a.", "0001016100"),
    ("CERT", "PGP 0 0 AQI=", "3 0 0 AQI=", "00030000000102"),
    (
        "CERT",
        "65280 1 ED25519 AQI=",
        "65280 1 15 AQI=",
        "ff0000010f0102",
    ),
    ("DNAME", "A.", "a.", "016100"),
    ("APL", "", "", ""),
    ("APL", "\\# 4 00010000", "1:0.0.0.0/0", "00010000"),
    // RFC 3123 §4.2 and §5.
    (
        "APL",
        "1:192.168.32.0/21 !1:192.168.38.0/28",
        "1:192.168.32.0/21 !1:192.168.38.0/28",
        "00011503c0a8200001 1c83c0a826",
    ),
    (
        "APL",
        "1:224.0.0.0/4 2:FF00:0:0:0:0:0:0:0/8",
        "1:224.0.0.0/4 2:ff00::/8",
        "00010401e0 00020801ff",
    ),
    (
        "APL",
        "1:192.0.2.255/32 !2:::1/128",
        "1:192.0.2.255/32 !2:::1/128",
        "00012004c00002ff 0002809000000000000000000000000000000001",
    ),
    // RFC 4025 §3.2.
    (
        "IPSECKEY",
        "10 1 2 192.0.2.38 AQNR U3mG",
        "10 1 2 192.0.2.38 AQNRU3mG",
        "0a0102c0000226 010351537986",
    ),
    (
        "IPSECKEY",
        "10 0 2 . AQNR",
        "10 0 2 . AQNR",
        "0a0002 010351",
    ),
    (
        "IPSECKEY",
        "10 3 2 Gw.example.com. AQNR",
        "10 3 2 Gw.example.com. AQNR",
        "0a0302 024777076578616d706c6503636f6d00 010351",
    ),
    (
        "IPSECKEY",
        "10 2 2 2001:0DB8:0:8002::2000:1 AQNR",
        "10 2 2 2001:db8:0:8002::2000:1 AQNR",
        "0a0202 20010db800008002 0000000020000001 010351",
    ),
    ("IPSECKEY", "0 0 0 .", "0 0 0 .", "000000"),
    // RFC 8005 §6, with a shorter key.
    (
        "HIP",
        "2 200100107B1A74DF365639CC39F1D578 AwEAAbdx rvs1 RVS2.example.com.",
        "2 200100107b1a74df365639cc39f1d578 AwEAAbdx rvs1.example. RVS2.example.com.",
        "10020006 200100107b1a74df365639cc39f1d578 03010001b771 0472767331076578616d706c6500 0452565332076578616d706c6503636f6d00",
    ),
    ("HIP", "1 0a AQ==", "1 0a AQ==", "010100010a01"),
    // RFC 8777 §4.3.2.
    (
        "AMTRELAY",
        "10 0 1 203.0.113.15",
        "10 0 1 203.0.113.15",
        "0a01cb00710f",
    ),
    (
        "AMTRELAY",
        "10 0 2 2001:db8::15",
        "10 0 2 2001:db8::15",
        "0a02 20010db8000000000000000000000015",
    ),
    (
        "AMTRELAY",
        "128 1 3 amtrelays.example.com.",
        "128 1 3 amtrelays.example.com.",
        "8083 09616d7472656c617973076578616d706c6503636f6d00",
    ),
    ("AMTRELAY", "10 0 0 .", "10 0 0 .", "0a00"),
    (
        "DS",
        "60485 5 1 2BB183AF 5F22588179A53B0A98631FAD1A292118",
        "60485 5 1 2bb183af5f22588179a53b0a98631fad1a292118",
        "ec4505012bb183af5f22588179a53b0a98631fad1a292118",
    ),
    ("CDS", "0 0 0 00", "0 0 0 00", "0000000000"),
    ("SSHFP", "4 2 0a0B", "4 2 0a0b", "04020a0b"),
    (
        "RRSIG",
        "A 13 3 86400 20030322173103 20030220173103 2642 Example.COM. oJB1 W6Wa",
        "A 13 3 86400 20030322173103 20030220173103 2642 example.com. oJB1W6Wa",
        "00010d03000151803e7c9dd73e5510d70a52076578616d706c6503636f6d00a090755ba59a",
    ),
    (
        "RRSIG",
        "TYPE4711 13 3 1 4294967295 0 1 . AA==",
        "TYPE4711 13 3 1 21060207062815 19700101000000 1 . AA==",
        "12670d0300000001ffffffff0000000000010000",
    ),
    (
        "NSEC",
        "Host.Example.com. A MX RRSIG NSEC TYPE1234",
        "Host.Example.com. A MX RRSIG NSEC TYPE1234",
        "04486f7374074578616d706c6503636f6d000006400100000003041b000000000000000000000000000000000000000000000000000020",
    ),
    (
        "NSEC",
        "a. TYPE1234 A A",
        "a. A TYPE1234",
        "016100000140041b000000000000000000000000000000000000000000000000000020",
    ),
    (
        "DNSKEY",
        "257 3 ECDSAP256SHA256 AQI=",
        "257 3 13 AQI=",
        "0101030d0102",
    ),
    ("CDNSKEY", "0 3 0 AA==", "0 3 0 AA==", "0000030000"),
    ("DHCID", "AAIB Y2/A", "AAIBY2/A", "000201636fc0"),
    (
        "NSEC3",
        "1 1 12 aabbccdd 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR MX DNSKEY",
        "1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr MX DNSKEY",
        "0101000c04aabbccdd14174eb2409fe28bcb4887a1836f957f0a8425e27b000700010000000080",
    ),
    (
        "NSEC3",
        "1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr",
        "1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr",
        "010000000014174eb2409fe28bcb4887a1836f957f0a8425e27b",
    ),
    (
        "NSEC3PARAM",
        "1 0 12 aabbccdd",
        "1 0 12 aabbccdd",
        "0100000c04aabbccdd",
    ),
    ("NSEC3PARAM", "1 0 0 -", "1 0 0 -", "0100000000"),
    ("TLSA", "3 1 1 d2abde", "3 1 1 d2abde", "030101d2abde"),
    ("SMIMEA", "3 0 0 d2ab de", "3 0 0 d2abde", "030000d2abde"),
    ("OPENPGPKEY", "AQI=", "AQI=", "0102"),
    (
        "CSYNC",
        "66 3 A NS AAAA",
        "66 3 A NS AAAA",
        "000000420003000460000008",
    ),
    (
        "ZONEMD",
        "2018031500 1 1 FEBE3D4C",
        "2018031500 1 1 febe3d4c",
        "7848b78c0101febe3d4c",
    ),
    (
        "SPF",
        "\"v=spf1 -all\"",
        "\"v=spf1 -all\"",
        "0b763d73706631202d616c6c",
    ),
    (
        "NID",
        "10 0014:4fff:ff20:ee64",
        "10 0014:4fff:ff20:ee64",
        "000a00144fffff20ee64",
    ),
    ("L32", "10 10.1.2.0", "10 10.1.2.0", "000a0a010200"),
    (
        "L64",
        "10 2001:0DB8:1140:1000",
        "10 2001:0db8:1140:1000",
        "000a20010db811401000",
    ),
    (
        "LP",
        "10 L64.Example.",
        "10 L64.Example.",
        "000a034c3634074578616d706c6500",
    ),
    (
        "EUI48",
        "00-00-5e-00-53-2A",
        "00-00-5e-00-53-2a",
        "00005e00532a",
    ),
    (
        "EUI64",
        "00-00-5e-ef-10-00-00-2a",
        "00-00-5e-ef-10-00-00-2a",
        "00005eef1000002a",
    ),
    (
        "URI",
        "10 1 \"ftp://a/b\"",
        "10 1 \"ftp://a/b\"",
        "000a00016674703a2f2f612f62",
    ),
    (
        "CAA",
        "128 Issue \"ca.example; x=y\"",
        "128 Issue \"ca.example; x=y\"",
        "8005497373756563612e6578616d706c653b20783d79",
    ),
    ("CAA", "0 issue \"\"", "0 issue \"\"", "00056973737565"),
    ("AVC", "x", "\"x\"", "0178"),
    (
        "RESINFO",
        "qnamemin exterr=15-17",
        "\"qnamemin\" \"exterr=15-17\"",
        "08716e616d656d696e0c6578746572723d31352d3137",
    ),
    ("WALLET", "x y", "\"x\" \"y\"", "01780179"),
    ("TA", "1 13 2 ab", "1 13 2 ab", "00010d02ab"),
    ("DLV", "1 13 2 ab", "1 13 2 ab", "00010d02ab"),
    ("A", "\\# 4 C0000201", "192.0.2.1", "c0000201"),
    ("TYPE1", "192.0.2.1", "192.0.2.1", "c0000201"),
    ("TYPE65280", "\\# 0", "\\# 0", ""),
    (
        "TYPE65280",
        "\\# 4 0102 03 04",
        "\\# 4 01020304",
        "01020304",
    ),
];

#[test]
fn data_of_each_type_has_its_wire_form_and_is_shown_as_text() {
    for (rtype, text, shown, expected) in CASES {
        let data = wire(rtype, text);
        let number = type_from_text(rtype).expect("a type");
        assert_eq!(hex(&data), expected.replace(' ', ""), "{rtype} {text}");
        assert_eq!(rdata_to_text(number, &data), *shown, "{rtype} {text}");
    }
}

#[test]
fn text_that_is_shown_reads_back_the_same() {
    for (rtype, text, shown, _) in CASES {
        assert_eq!(wire(rtype, text), wire(rtype, shown), "{rtype} {text}");
    }
}

#[test]
fn generic_form_of_each_type_reads_back_the_same() {
    for (rtype, text, _, _) in CASES {
        let data = wire(rtype, text);
        let generic = format!("\\# {} {}", data.len(), hex(&data));
        assert_eq!(wire(rtype, &generic), data, "{rtype} {text}");
    }
}

#[test]
fn locations_of_rfc_1876_are_read() {
    let cases = [
        (
            "42 21 54 N 71 06 18 W -24m 30m",
            "42 21 54.000 N 71 6 18.000 W -24.00m 30.00m 10000.00m 10.00m",
            "0033161389172dd070be15f000988d20",
        ),
        (
            "42 21 43.952 N 71 5 6.344 W -24m 1m 200m",
            "42 21 43.952 N 71 5 6.344 W -24.00m 1.00m 200.00m 10.00m",
            "001224138917069070bf2dd800988d20",
        ),
        (
            "52 14 05 N 00 08 50 E 10m",
            "52 14 5.000 N 0 8 50.000 E 10.00m 1.00m 10000.00m 10.00m",
            "001216138b3556c88008165000989a68",
        ),
        (
            "32 7 19 S 116 2 25 E 10m",
            "32 7 19.000 S 116 2 25.000 E 10.00m 1.00m 10000.00m 10.00m",
            "00121613791b7d2898e6486800989a68",
        ),
        (
            "42 N 71 W 0",
            "42 0 0.000 N 71 0 0.000 W 0.00m 1.00m 10000.00m 10.00m",
            "001216138903210070c3da8000989680",
        ),
        (
            "90 S 180 E -100000.00m 0 90000000.00m 0.01m",
            "90 0 0.000 S 180 0 0.000 E -100000.00m 0.00m 90000000.00m 0.01m",
            "000099106cb02700a69fb20000000000",
        ),
        (
            "0 N 0 E 42849672.95",
            "0 0 0.000 N 0 0 0.000 E 42849672.95m 1.00m 10000.00m 10.00m",
            "001216138000000080000000ffffffff",
        ),
    ];
    for (text, shown, expected) in cases {
        let data = wire("LOC", text);
        assert_eq!(hex(&data), expected, "{text}");
        assert_eq!(rdata_to_text(29, &data), shown);
        assert_eq!(wire("LOC", shown), data);
    }
}

#[test]
fn service_bindings_of_rfc_9460_appendix_d_are_read() {
    let cases = [
        (
            "0 foo.example.com.",
            "000003666f6f076578616d706c6503636f6d00",
        ),
        ("1 .", "000100"),
        (
            "16 foo.example.com. port=53",
            "001003666f6f076578616d706c6503636f6d00000300020035",
        ),
        (
            "1 foo.example.com. key667=hello",
            "000103666f6f076578616d706c6503636f6d00029b000568656c6c6f",
        ),
        (
            "1 foo.example.com. key667=\"hello\\210qoo\"",
            "000103666f6f076578616d706c6503636f6d00029b000968656c6c6fd2716f6f",
        ),
        (
            "1 foo.example.com. ipv6hint=\"2001:db8::1,2001:db8::53:1\"",
            "000103666f6f076578616d706c6503636f6d0000060020 20010db8000000000000000000000001 20010db8000000000000000000530001",
        ),
        (
            "1 example.com. ipv6hint=\"2001:db8:122:344::192.0.2.33\"",
            "0001076578616d706c6503636f6d0000060010 20010db8012203440000 0000c0000221",
        ),
        (
            "16 foo.example.org. alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1",
            "001003666f6f076578616d706c65036f726700 0000000400010004 0001000902683205 68332d3139 00040004c0000201",
        ),
        (
            "16 foo.example.org. alpn=\"f\\\\\\\\oo\\\\,bar,h2\"",
            "001003666f6f076578616d706c65036f726700 0001000c08665c6f6f2c626172026832",
        ),
        (
            "16 foo.example.org. alpn=f\\\\\\092oo\\092,bar,h2",
            "001003666f6f076578616d706c65036f726700 0001000c08665c6f6f2c626172026832",
        ),
    ];
    for (text, expected) in cases {
        for rtype in ["SVCB", "HTTPS"] {
            let data = wire(rtype, text);
            assert_eq!(hex(&data), expected.replace(' ', ""), "{text}");
            assert_eq!(wire(rtype, &rdata_to_text(64, &data)), data, "{text}");
        }
    }
}

#[test]
fn further_service_parameters_are_read_and_shown() {
    let text = "1 a. mandatory=alpn,ech alpn=\"h2\" no-default-alpn ech=AQI= dohpath=\"/dns-query{?dns}\" ohttp key9=\"\\000\" key65534";
    let data = wire("SVCB", text);
    assert_eq!(rdata_to_text(64, &data), text);
    let unordered = "1 a. ohttp no-default-alpn mandatory=ech,alpn key65534 ech=\"AQI=\" key9=\\000 dohpath=/dns-query{?dns} alpn=h2";
    assert_eq!(wire("SVCB", unordered), data);
}

#[test]
fn types_without_a_text_form_of_their_data_have_a_name_in_bitmaps() {
    let types = [
        ("NULL", 10),
        ("WKS", 11),
        ("NSAP", 22),
        ("NSAP-PTR", 23),
        ("NXT", 30),
        ("EID", 31),
        ("NIMLOC", 32),
        ("ATMA", 34),
        ("A6", 38),
        ("SINK", 40),
        ("NINFO", 56),
        ("RKEY", 57),
        ("TALINK", 58),
        ("DSYNC", 66),
        ("UINFO", 100),
        ("UID", 101),
        ("GID", 102),
        ("UNSPEC", 103),
        ("NXNAME", 128), // RFC 9824.
        ("DOA", 259),
    ];
    let text = |word: fn(&(&str, u16)) -> String| {
        let words: Vec<String> = types.iter().map(word).collect();
        format!("a. {}", words.join(" "))
    };
    let named = text(|(name, _)| (*name).to_owned());
    let data = wire("NSEC", &named);
    assert_eq!(
        data,
        wire("NSEC", &text(|(_, rtype)| format!("TYPE{rtype}")))
    );
    assert_eq!(rdata_to_text(47, &data), named);
}

#[test]
fn gateways_prefixes_and_host_identities_without_their_form_are_shown_as_bytes() {
    let cases: [(u16, &[u8]); 14] = [
        (42, &[0, 1, 8, 2, 10]),            // APL: an address that ends too early,
        (42, &[0, 1, 8, 2, 10, 0]),         // zero bytes at the end of one,
        (42, &[0, 1, 33, 1, 10]),           // more bits than there are,
        (42, &[0, 1, 8, 5, 1, 1, 1, 1, 1]), // more bytes,
        (42, &[0, 3, 8, 1, 10]),            // another family.
        (45, &[10, 4, 2]),                  // IPSECKEY: another type,
        (45, &[10, 1, 2, 192, 0, 2]),       // half an address,
        (45, &[10, 3, 2, 0xc0, 12]),        // a compressed name,
        (45, &[10, 1]),                     // no algorithm.
        (55, &[0, 2, 0, 1, 7]),             // HIP: no tag,
        (55, &[1, 2, 0, 0, 7]),             // no key,
        (55, &[1, 2, 0, 1, 7, 7, 1]),       // half a name.
        (260, &[10]),                       // AMTRELAY: no type,
        (260, &[10, 0, 1]),                 // something after the end.
    ];
    for (rtype, data) in cases {
        let text = rdata_to_text(rtype, data);
        assert!(text.starts_with("\\# "), "{rtype} {data:?} {text}");
    }
}

#[test]
fn data_that_has_not_its_types_form_is_shown_as_bytes() {
    assert_eq!(rdata_to_text(1, &[1, 2, 3]), "\\# 3 010203");
    assert_eq!(
        rdata_to_text(64, &[0, 1, 0, 0, 1, 0, 0]),
        "\\# 7 00010000010000"
    );
    assert_eq!(rdata_to_text(16, &[]), "\\# 0");
}
