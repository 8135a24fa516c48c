"""Names, cities and address formats of many countries."""

from attrs import frozen

__all__ = ["COUNTRIES", "Country"]


@frozen
class Country:
    """The names and addresses of a country.

    Attributes:
        region: The ISO 3166-1 alpha-2 code, which also selects the numbering plan.
        given: Comma-separated given names.
        family: Comma-separated family names.
        street: A format string for an address line, with a placeholder for the house number.
        cities: Comma-separated cities, each with its postcode after ``/`` where the country has postcodes.
        whole: The format string of a full name, for countries whose customers have a single name column.
    """

    region: str
    given: str
    family: str
    street: str
    cities: str
    whole: str | None = None


# fmt: off
COUNTRIES = (
    Country("HR", "Ana, Željka, Marko, Šime, Đurđa, Luka", "Horvat, Kovačević, Đurić, Šarić, Žižić, Babić",
            "Ulica Ivana Gundulića {}", "Zagreb/10000, Split/21000, Šibenik/22000"),
    Country("DE", "Jürgen, Zoë, Björn, Käthe, Lukas, Heidi", "Müller, Weiß, Schäfer, Groß, Vogel, Köhler",
            "Königstraße {}", "München/80331, Köln/50667, Görlitz/02826"),
    Country("FR", "Zoé, François, Chloé, Loïc, Anaïs, Noël", "Lefèvre, Beauséjour, Lemaître, Œuvrard, Noël, D’Arçon",
            "{} rue de l’Église", "Nîmes/30000, Besançon/25000, Bourg-en-Bresse/01000"),
    Country("IT", "Niccolò, Giulia, Zoè, Matteo, Chiara, Ettore", "Rossi, D’Angelo, Cantù, Forlì, Bianchi, Nicolò",
            "Via Libertà {}", "Roma/00118, Forlì/47121, Cantù/22063"),
    Country("MX", "José, María, Íñigo, Lucía, Nicolás, Begoña", "Muñoz, Peña, Gutiérrez, Ibáñez, Núñez, Zúñiga",
            "Calle Año Nuevo {}", "Mérida/97000, Querétaro/76000, León/37000"),
    Country("BR", "João, Conceição, Antônio, Inês, Luís, Thaís",
            "Gonçalves, Simões, Araújo, Magalhães, Assunção, Brandão", "Avenida São João, {}",
            "Brasília/70040-010, Goiânia/74000-000, Maceió/57000-000"),
    Country("PL", "Łukasz, Żaneta, Wojciech, Małgorzata, Bogusław, Świętosława",
            "Wójcik, Łęcki, Ździebło, Dąbrowska, Król, Żółkowska", "ul. Piękna {}",
            "Łódź/90-001, Kraków/30-001, Gdańsk/80-001"),
    Country("CZ", "Jiří, Šárka, Řehoř, Zdeněk, Alžběta, Květa", "Dvořák, Říha, Šťastná, Černý, Kříž, Hájek",
            "Dlážděná {}", "Praha/110 00, Plzeň/301 00, Třebíč/674 01"),
    Country("TR", "Ayşe, Çağla, İbrahim, Gül, Özgür, Işıl", "Yılmaz, Şahin, Çelik, Öztürk, Doğan, Güneş",
            "İstiklal Caddesi No: {}", "İstanbul/34000, İzmir/35000, Eskişehir/26000"),
    Country("IS", "Þóra, Björk, Sigurður, Ásdís, Örn, Guðrún",
            "Jónsdóttir, Þorsteinsson, Ægisson, Óladóttir, Hjálmarsson, Einarsdóttir", "Skólavörðustígur {}",
            "Reykjavík/101, Ísafjörður/400, Höfn/780"),
    Country("VN", "Văn Ánh, Thị Hằng, Quốc Bảo, Đức Huy, Ngọc Trâm, Minh Tuệ", "Nguyễn, Trần, Đặng, Phạm, Huỳnh, Võ",
            "{} Đường Lê Lợi", "Hà Nội/100000, Đà Nẵng/550000, Huế/530000", "{family} {given}"),
    Country("GB", "Ada, Oliver, Siân, Nia, Angus, Imogen",
            "Lovelace, O’Neill, Smith-Jones, MacLeod, Ó Súilleabháin, Clarke", "{} Abbey Road",
            "London/SW1A 1AA, Cardiff/CF10 1EP, Edinburgh/EH1 1YZ"),
    Country("US", "Maya, Renée, Tyrone, Zoe, Aidan, Beyoncé", "Johnson, García, Nguyen, O’Brien, Van der Berg, Lee",
            "{} Main Street", "Springfield/62701, Boston/02108, Portland/97201"),
    Country("KE", "Wanjiru, Kamau, Achieng, Otieno, Njeri, Kipchoge",
            "Mwangi, Odhiambo, Ng’ang’a, Wambui, Koech, Mutiso", "Kenyatta Avenue {}",
            "Nairobi/00100, Mombasa/80100, Kisumu/40100"),
    Country("RS", "Милош, Јелена, Ђорђе, Љубица, Жељко, Његош", "Петровић, Ђурић, Љубовић, Џајић, Николић, Шћекић",
            "Улица кнеза Милоша {}", "Београд/11000, Ниш/18000, Чачак/32000"),
    Country("UA", "Олена, Ірина, Євген, Ярина, Юлія, Тарас", "Шевченко, Іваненко, Щербак, Лесюк, Єсип, Ґудзь",
            "вул. Хрещатик, {}", "Київ/01001, Харків/61000, Чернівці/58000"),
    Country("GR", "Ελένη, Γιώργος, Δήμητρα, Νίκος, Χριστίνα, Ιωάννης",
            "Παπαδοπούλου, Γεωργίου, Οικονόμου, Ψαράς, Δήμου, Ξένος", "Οδός Αθηνάς {}",
            "Αθήνα/105 51, Πάτρα/262 21, Χανιά/731 00"),
    Country("EG", "فاطمة, محمد, ليلى, يوسف, مريم, عمر", "حسن, إبراهيم, السيد, منصور, عبد الله, فؤاد", "شارع التحرير {}",
            "القاهرة/11511, الإسكندرية/21500, أسوان/81511"),
    Country("AE", "عائشة, راشد, نورة, سلطان, هند, خليفة", "المنصوري, الشامسي, الكتبي, النعيمي, المري, الظاهري",
            "شارع الشيخ زايد {}", "دبي, الشارقة, العين"),
    Country("IL", "נועה, יוסף, תמר, איתן, שירה, דוד", "כהן, לוי, מזרחי, פרידמן, בן־דוד, אזולאי", "רחוב הרצל {}",
            "ירושלים/9100000, חיפה/3100000, תל אביב־יפו/6100000"),
    Country("IN", "प्रिया, अर्जुन, लक्ष्मी, विक्रम, ज्योति, श्रेया", "शर्मा, त्रिपाठी, सिंह, कृष्णन, चौधरी, द्विवेदी",
            "महात्मा गांधी मार्ग {}", "नई दिल्ली/110001, मुंबई/400001, लखनऊ/226001"),
    Country("TH", "สมชาย, มาลี, ณัฐวุฒิ, พิมพ์ใจ, อนันต์, ศิริพร", "ศรีสุข, วงศ์สวัสดิ์, ใจดี, ทองคำ, บุญมี, รัตนกุล",
            "{} ถนนสุขุมวิท", "กรุงเทพมหานคร/10110, เชียงใหม่/50000, ภูเก็ต/83000"),
    Country("CN", "小明, 丽华, 伟, 梓涵, 建国, 雪", "王, 欧阳, 李, 张, 司马, 刘", "人民路{}号",
            "北京市/100000, 上海市/200000, 重庆市/400000", "{family}{given}"),
    Country("HK", "家輝, 嘉欣, 志明, 美玲, 俊傑, 詠詩", "陳, 黃, 歐陽, 鄭, 羅, 蘇", "彌敦道{}號",
            "九龍尖沙咀, 香港中環, 新界沙田", "{family}{given}"),
    Country("KR", "민준, 서연, 도윤, 하은, 지훈, 예린", "김, 이, 박, 최, 남궁, 황보", "세종대로 {}",
            "서울특별시/04524, 부산광역시/48058, 제주시/63122", "{family}{given}"),
    Country("JP", "はなこ, タロウ, さくら, ケンジ, ゆうき, アヤカ", "たかはし, サトウ, わたなべ, ヤマモト, 小林, 斎藤",
            "中央通り{}丁目", "東京都/100-0001, 大阪市/530-0001, 名古屋市/450-0002", "{family} {given}"),
)
# fmt: on
