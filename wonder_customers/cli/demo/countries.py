"""Names, cities and address formats of many countries."""

from attrs import frozen

__all__ = ["COUNTRIES", "Country"]


@frozen
class Country:
    """The names and addresses of a country.

    Attributes:
        region: The ISO 3166-1 alpha-2 code, which also selects the numbering plan.
        given: Comma-separated given names. A name that is not in Latin script has a Latin form after ``=``.
        family: Family names, in the same format.
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
    Country("FR", "Zoé, François, Chloé, Loïc, Anaïs, Noël",
            "Lefèvre, Beauséjour, Lemaître, Œuvrard, Noël, D’Arçon", "{} rue de l’Église",
            "Nîmes/30000, Besançon/25000, Bourg-en-Bresse/01000"),
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
    Country("VN", "Văn Ánh, Thị Hằng, Quốc Bảo, Đức Huy, Ngọc Trâm, Minh Tuệ",
            "Nguyễn, Trần, Đặng, Phạm, Huỳnh, Võ", "{} Đường Lê Lợi", "Hà Nội/100000, Đà Nẵng/550000, Huế/530000",
            "{family} {given}"),
    Country("GB", "Ada, Oliver, Siân, Nia, Angus, Imogen",
            "Lovelace, O’Neill, Smith-Jones, MacLeod, Ó Súilleabháin, Clarke", "{} Abbey Road",
            "London/SW1A 1AA, Cardiff/CF10 1EP, Edinburgh/EH1 1YZ"),
    Country("US", "Maya, Renée, Tyrone, Zoe, Aidan, Beyoncé", "Johnson, García, Nguyen, O’Brien, Van der Berg, Lee",
            "{} Main Street", "Springfield/62701, Boston/02108, Portland/97201"),
    Country("KE", "Wanjiru, Kamau, Achieng, Otieno, Njeri, Kipchoge",
            "Mwangi, Odhiambo, Ng’ang’a, Wambui, Koech, Mutiso", "Kenyatta Avenue {}",
            "Nairobi/00100, Mombasa/80100, Kisumu/40100"),
    Country("RS", "Милош=milos, Јелена=jelena, Ђорђе=djordje, Љубица=ljubica, Жељко=zeljko, Његош=njegos",
            "Петровић=petrovic, Ђурић=djuric, Љубовић=ljubovic, Џајић=dzajic, Николић=nikolic, Шћекић=scekic",
            "Улица кнеза Милоша {}", "Београд/11000, Ниш/18000, Чачак/32000"),
    Country("UA", "Олена=olena, Ірина=iryna, Євген=yevhen, Ярина=yaryna, Юлія=yuliia, Тарас=taras",
            "Шевченко=shevchenko, Іваненко=ivanenko, Щербак=shcherbak, Лесюк=lesiuk, Єсип=yesyp, Ґудзь=gudz",
            "вул. Хрещатик, {}", "Київ/01001, Харків/61000, Чернівці/58000"),
    Country("GR", "Ελένη=eleni, Γιώργος=giorgos, Δήμητρα=dimitra, Νίκος=nikos, Χριστίνα=christina, Ιωάννης=ioannis",
            "Παπαδοπούλου=papadopoulou, Γεωργίου=georgiou, Οικονόμου=oikonomou, Ψαράς=psaras, Δήμου=dimou, Ξένος=xenos",
            "Οδός Αθηνάς {}", "Αθήνα/105 51, Πάτρα/262 21, Χανιά/731 00"),
    Country("EG", "فاطمة=fatima, محمد=mohamed, ليلى=layla, يوسف=youssef, مريم=mariam, عمر=omar",
            "حسن=hassan, إبراهيم=ibrahim, السيد=elsayed, منصور=mansour, عبد الله=abdallah, فؤاد=fouad",
            "شارع التحرير {}", "القاهرة/11511, الإسكندرية/21500, أسوان/81511"),
    Country("AE", "عائشة=aisha, راشد=rashid, نورة=noura, سلطان=sultan, هند=hind, خليفة=khalifa",
            "المنصوري=almansoori, الشامسي=alshamsi, الكتبي=alketbi, النعيمي=alnuaimi, المري=almarri, الظاهري=aldhaheri",
            "شارع الشيخ زايد {}", "دبي, الشارقة, العين"),
    Country("IL", "נועה=noa, יוסף=yosef, תמר=tamar, איתן=eitan, שירה=shira, דוד=david",
            "כהן=cohen, לוי=levi, מזרחי=mizrahi, פרידמן=friedman, בן־דוד=bendavid, אזולאי=azoulay", "רחוב הרצל {}",
            "ירושלים/9100000, חיפה/3100000, תל אביב־יפו/6100000"),
    Country("IN", "प्रिया=priya, अर्जुन=arjun, लक्ष्मी=lakshmi, विक्रम=vikram, ज्योति=jyoti, श्रेया=shreya",
            "शर्मा=sharma, त्रिपाठी=tripathi, सिंह=singh, कृष्णन=krishnan, चौधरी=chaudhary, द्विवेदी=dwivedi",
            "महात्मा गांधी मार्ग {}", "नई दिल्ली/110001, मुंबई/400001, लखनऊ/226001"),
    Country("TH", "สมชาย=somchai, มาลี=malee, ณัฐวุฒิ=natthawut, พิมพ์ใจ=pimjai, อนันต์=anan, ศิริพร=siriporn",
            "ศรีสุข=srisuk, วงศ์สวัสดิ์=wongsawat, ใจดี=jaidee, ทองคำ=thongkham, บุญมี=boonmee, รัตนกุล=rattanakul",
            "{} ถนนสุขุมวิท", "กรุงเทพมหานคร/10110, เชียงใหม่/50000, ภูเก็ต/83000"),
    Country("CN", "小明=xiaoming, 丽华=lihua, 伟=wei, 梓涵=zihan, 建国=jianguo, 雪=xue",
            "王=wang, 欧阳=ouyang, 李=li, 张=zhang, 司马=sima, 刘=liu", "人民路{}号",
            "北京市/100000, 上海市/200000, 重庆市/400000", "{family}{given}"),
    Country("HK", "家輝=kafai, 嘉欣=kayan, 志明=chiming, 美玲=meiling, 俊傑=chunkit, 詠詩=wingsze",
            "陳=chan, 黃=wong, 歐陽=auyeung, 鄭=cheng, 羅=law, 蘇=so", "彌敦道{}號",
            "九龍尖沙咀, 香港中環, 新界沙田", "{family}{given}"),
    Country("KR", "민준=minjun, 서연=seoyeon, 도윤=doyun, 하은=haeun, 지훈=jihoon, 예린=yerin",
            "김=kim, 이=lee, 박=park, 최=choi, 남궁=namgung, 황보=hwangbo", "세종대로 {}",
            "서울특별시/04524, 부산광역시/48058, 제주시/63122", "{family}{given}"),
    Country("JP", "はなこ=hanako, タロウ=taro, さくら=sakura, ケンジ=kenji, ゆうき=yuki, アヤカ=ayaka",
            "たかはし=takahashi, サトウ=sato, わたなべ=watanabe, ヤマモト=yamamoto, 小林=kobayashi, 斎藤=saito",
            "中央通り{}丁目", "東京都/100-0001, 大阪市/530-0001, 名古屋市/450-0002", "{family} {given}"),
)
# fmt: on
