//! People of a province: few family names, many given ones, some with their marks and some without.

/// Family names and how many of a thousand have them.
const FAMILIES: &[(&str, u64)] = &[
    ("Nguyễn", 384),
    ("Trần", 110),
    ("Lê", 95),
    ("Phạm", 71),
    ("Hoàng", 51),
    ("Phan", 45),
    ("Vũ", 39),
    ("Võ", 30),
    ("Đặng", 21),
    ("Bùi", 20),
    ("Đỗ", 14),
    ("Hồ", 13),
    ("Ngô", 13),
    ("Dương", 10),
    ("Đinh", 10),
    ("Trịnh", 8),
    ("Mai", 8),
    ("Đoàn", 7),
    ("Lý", 5),
    ("Tô", 3),
    ("Quách", 1),
];
const MIDDLES_OF_WOMEN: &[(&str, u64)] =
    &[("Thị", 600), ("Ngọc", 90), ("Thu", 70), ("Thanh", 70), ("Phương", 50), ("Kim", 50), ("Bích", 30)];
const MIDDLES_OF_MEN: &[(&str, u64)] =
    &[("Văn", 450), ("Đức", 90), ("Hữu", 90), ("Minh", 80), ("Quang", 70), ("Xuân", 60), ("Bá", 20)];
const GIVEN: &[&str] = &[
    "Anh", "Bình", "Bảo", "Cường", "Chi", "Dung", "Dũng", "Duy", "Đạt", "Đức", "Giang", "Hà", "Hải", "Hạnh",
    "Hằng", "Hiền", "Hiếu", "Hoa", "Hòa", "Hoàng", "Hồng", "Huệ", "Hùng", "Huy", "Huyền", "Hương", "Khánh",
    "Khoa", "Kiên", "Lan", "Linh", "Loan", "Long", "Lộc", "Mai", "Minh", "My", "Nam", "Nga", "Ngân", "Nghĩa",
    "Ngọc", "Nguyên", "Nguyệt", "Nhung", "Oanh", "Phong", "Phúc", "Phương", "Quân", "Quang", "Quỳnh", "Sơn",
    "Tâm", "Tân", "Thành", "Thảo", "Thắng", "Thịnh", "Thu", "Thủy", "Thúy", "Tiến", "Toàn", "Trang", "Trung",
    "Tú", "Tuấn", "Tùng", "Tuyết", "Uyên", "Vân", "Việt", "Vinh", "Vy", "Xuân", "Yến", "Đào", "Tài", "Thoa",
    "Thơm", "Nhàn", "Mận", "Lựu", "Gấm",
];
const MODALITIES: &[(&str, u64)] = &[
    ("DX", 400),
    ("US", 250),
    ("CT", 150),
    ("MR", 80),
    ("CR", 60),
    ("MG", 30),
    ("XA", 20),
    ("NM", 9),
    ("PT", 1),
];

/// Numbers that look random and are the same in every run.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D)
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    fn weighted(&mut self, choices: &[(&'static str, u64)]) -> &'static str {
        let mut left = self.below(choices.iter().map(|(_, weight)| weight).sum());
        for (choice, weight) in choices {
            if left < *weight {
                return choice;
            }
            left -= weight;
        }
        choices[0].0
    }

    fn one(&mut self, choices: &[&'static str]) -> &'static str {
        let place = self.below(choices.len() as u64);
        choices[usize::try_from(place).unwrap()]
    }
}

pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) name: String,
}

impl Person {
    pub(crate) fn new(number: u64) -> Self {
        let mut numbers = Numbers::new(number ^ 0xABCD_EF01);
        let family = numbers.weighted(FAMILIES);
        let middles = if numbers.below(2) == 0 { MIDDLES_OF_WOMEN } else { MIDDLES_OF_MEN };
        let middle = numbers.weighted(middles);
        let mut given = numbers.one(GIVEN).to_owned();
        if numbers.below(10) < 3 {
            given = format!("{} {given}", numbers.one(GIVEN));
        }
        let name = match numbers.below(4) {
            // As the modalities send it that know no marks.
            0 | 1 => dicom_store::model::fold(&format!("{family}^{given}^{middle}")).to_uppercase(),
            2 => format!("{family} {middle} {given}"),
            _ => format!("{family}^{given}^{middle}").to_uppercase(),
        };
        Self { id: format!("BN{number:08}"), name }
    }
}

pub(crate) fn modality(numbers: &mut Numbers) -> &'static str {
    numbers.weighted(MODALITIES)
}
