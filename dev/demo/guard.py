"""Guard candidates of the demo: everyday questions and small reading tasks that a small model often gets right."""

from __future__ import annotations

from typing import Any

SHORT = "Answer in one short sentence."

# Kinds: a pattern, then the words put into it with the answers that count (alternatives after a slash).
PATTERNS = (
    (
        "country-capital",
        "{} is the capital of which country?",
        "Lisbon=Portugal, Dublin=Ireland, Oslo=Norway, Copenhagen=Denmark, Helsinki=Finland, "
        "Warsaw=Poland, Prague=Czech, Budapest=Hungary, Ankara=Turkey, Lima=Peru, Nairobi=Kenya, "
        "Baghdad=Iraq, Tehran=Iran, Hanoi=Vietnam, Kabul=Afghanistan, Santiago=Chile, Havana=Cuba",
    ),
    (
        "continent",
        "Which continent is {} in?",
        "Nigeria=Africa, India=Asia, Sweden=Europe, Peru=South America, Canada=North America, "
        "Poland=Europe, Vietnam=Asia, Ethiopia=Africa, Argentina=South America, Portugal=Europe, Thailand=Asia, "
        "Morocco=Africa, Ireland=Europe, Nepal=Asia",
    ),
    (
        "antonym",
        "Give one word that means the opposite of '{}'.",
        "rich=poor, open=closed/close/shut, loud=quiet/soft/silent, "
        "true=false, hard=soft/easy, sweet=bitter/sour, win=lose/loss, love=hate, begin=end, "
        "long=short, wide=narrow, dark=light/bright, clean=dirty, thick=thin",
    ),
    (
        "plural",
        "Write the word '{}' in the plural.",
        "foot=feet, tooth=teeth, goose=geese, man=men, woman=women, leaf=leaves, "
        "knife=knives, city=cities, box=boxes, baby=babies, wolf=wolves, potato=potatoes, bus=buses, cherry=cherries",
    ),
    (
        "young-animal",
        "What do you call a young {}?",
        "dog=puppy/pup, cow=calf, horse=foal/colt/filly, sheep=lamb, goat=kid, bear=cub, "
        "frog=tadpole/froglet, duck=duckling, swan=cygnet, deer=fawn, hen=chick",
    ),
    (
        "after-month",
        "Which month comes right after {}?",
        "February=March, March=April, April=May, May=June, June=July, July=August, August=September, "
        "September=October, October=November, November=December, December=January",
    ),
    (
        "currency",
        "With which currency do people in {} pay?",
        "India=rupee/rupees, China=yuan/renminbi, Mexico=peso/pesos, Russia=ruble/rubles/rouble, "
        "Germany=euro/euros, Brazil=real/reais, Switzerland=franc/francs",
    ),
)

# Single questions: question | answers that count (alternatives after a slash).
SINGLE = """
Which season follows winter? | spring
Which season is the hottest? | summer
How many legs does an insect have? | 6/six
How many wheels does a bicycle have? | 2/two
How many corners does a square have? | 4/four
How many players are on a football team on the field? | 11/eleven
How many years are in a century? | 100/hundred
What do bees collect from flowers? | nectar/pollen
What do caterpillars turn into? | butterfly/butterflies/moth/moths
Which organs do we breathe with? | lungs/lung
Which part of a plant grows under the ground? | root/roots
What do we call a scientist who studies the stars? | astronomer
What do we call a doctor for animals? | veterinarian/vet
What instrument measures temperature? | thermometer
What is the fastest land animal? | cheetah
What is the largest land animal? | elephant
What is the tallest animal? | giraffe
What is the largest animal in the sea? | whale
Which bird cannot fly and lives in Antarctica? | penguin/penguins
Which bird is a symbol of peace? | dove
Which animal has a trunk? | elephant
Which animal has black and white stripes? | zebra
Which animal carries its young in a pouch? | kangaroo/marsupial
Which animal builds dams in rivers? | beaver/beavers
Which planet is closest to the Sun? | Mercury
Which planet has large rings? | Saturn
What goes around the Earth and shines at night? | moon
On which day is Christmas celebrated? | December 25/25 December/25th
In which month is Halloween? | October
Which country built the Great Wall? | China
In which city is Big Ben? | London
In which city is the Statue of Liberty? | New York
In which country was pizza invented? | Italy
Name the long river of Egypt. | Nile
Which desert is in northern Africa? | Sahara
Which is the largest country in the world by area? | Russia
Which is the smallest continent? | Australia/Oceania
Who invented the telephone? | Bell
Who was the first person on the Moon? | Armstrong
Who wrote the Harry Potter books? | Rowling
Who painted The Starry Night? | Gogh
Who sailed to America in 1492? | Columbus
What is bread made from? | flour/wheat
What is wine made from? | grapes/grape
What is cheese made from? | milk
What is paper made from? | wood/trees/pulp/cellulose
What is glass made from? | sand/silica
Which vegetable makes people cry when it is cut? | onion/onions
Which fruit is used to make cider? | apple/apples
Which sport is played at Wimbledon? | tennis
Which sport uses a bat and a ball in a diamond? | baseball
What do you use to cut paper? | scissors
What do you wear on your feet? | shoes/socks/boots
What do you open a locked door with? | key
What do you use to brush your teeth? | toothbrush/toothpaste
What do you hold over your head in the rain? | umbrella
Where do fish live? | water/ocean/sea/oceans/rivers
Where do birds lay their eggs? | nest/nests
Where can you borrow books? | library/libraries
What color is an emerald? | green
What color is the sun in a child's drawing? | yellow
What color is chocolate? | brown
What color is a carrot? | orange
Which shape has no corners? | circle
Which language do people speak in Germany? | German
Which language do people speak in Italy? | Italian
Which language do people speak in Japan? | Japanese
What is the Spanish word for 'hello'? | hola
What is the French word for 'thank you'? | merci
What is the Spanish word for 'water'? | agua
What is the French word for 'yes'? | oui
Name a primary color. | red/blue/yellow
Name a fruit that is red. | apple/strawberry/cherry/raspberry/tomato/cranberry/pomegranate/apples/strawberries
Name an animal that can fly. | bird/eagle/bat/hawk/owl/butterfly/falcon/birds/sparrow/hummingbird/pigeon
Name a month with 31 days. | January/March/May/July/August/October/December
Name a country in South America. | Brazil/Argentina/Chile/Peru/Colombia/Bolivia/Ecuador/Uruguay/Venezuela
Name a season of the year. | spring/summer/autumn/fall/winter
Name a planet with a moon. | Earth/Mars/Jupiter/Saturn/Uranus/Neptune
Name a drink made from leaves. | tea
Name a tool for driving nails. | hammer
Name a sense of the human body. | sight/hearing/smell/taste/touch
"""

# Reading: a passage of everyday content | question | answers that count; the next question reads the same passage.
READING = """
Sara baked two cakes on Sunday. One was with lemon and one was with nuts. | On which day did Sara bake? | Sunday
The train to York leaves at nine. Tickets are sold in the red kiosk. | Where are tickets sold? | kiosk
Ben has a parrot called Kiwi. It likes to sit on the piano. | What is the name of Ben's parrot? | Kiwi
The museum is closed on Mondays. Children enter for free. | On which day is the museum closed? | Monday/Mondays
Lena lost her blue scarf in the park. A gardener found it under a bench. | Who found the scarf? | gardener
Our dog sleeps in the kitchen. He wakes up when the fridge opens. | Where does the dog sleep? | kitchen
Mr Grant sells apples from his own orchard. A bag costs four dollars. | How much does a bag of apples cost? | 4/four
Nina plays the violin. Her brother Tim plays the drums. | Which instrument does Nina play? | violin
The bridge was built in 1932. It is painted green every five years. | When was the bridge built? | 1932
Tom drove to the lake with his uncle. They caught three trout. | How many trout did they catch? | 3/three
The hotel has a garden with old oak trees. Breakfast is served until ten. | Until when is breakfast served? | 10/ten
Ella's bicycle is yellow. She rides it to school on most days. | What color is Ella's bicycle? | yellow
The shop on the corner sells candles. It opens at eight in the morning. | What does the shop sell? | candles/candle
Paul wrote a letter to his grandmother. She lives in Madrid. | Where does Paul's grandmother live? | Madrid
The soup was made with carrots and ginger. Everybody asked for more. | What was the soup made with? | carrots/ginger
Rosa is a pilot. She flies to Tokyo twice a month. | What is Rosa's job? | pilot
The old clock stopped at noon. Grandfather repaired it with a hairpin. | When did the clock stop? | noon/12
Mia bought seven roses for her teacher. They were white. | How many roses did Mia buy? | 7/seven
The farm has twenty goats and one donkey. The donkey is named Bruno. | What is the donkey called? | Bruno
It rained for six days in a row. On the seventh day the cellar was wet. | For how many days did it rain? | 6/six
Kim swims every morning before work. The pool is next to her office. | What does Kim do every morning? | swim/swims
The concert was moved to the town hall. The old theatre has a broken roof. | Where was the concert moved? | town hall
Leo's favorite food is rice with beans. His sister prefers pasta. | What food does Leo's sister prefer? | pasta
The ferry crosses the bay in twenty minutes. It carries cars and bicycles. | How long does the ferry take? | 20/twenty
Hanna painted the fence brown. The gate stayed red. | What color is the gate? | red
The baker gets up at three. His shop smells of cinnamon. | What does the shop smell of? | cinnamon
Jack broke his arm while skating. He now writes with his left hand. | How did Jack break his arm? | skating
The village has one school and two churches. It lies beside a river. | How many schools does the village have? | 1/one
Amir studies history in Cairo. He wants to become a teacher. | What does Amir study? | history
The cat hid under the sofa during the storm. It came out in the evening. | Where did the cat hide? | sofa
Olga sold her car in spring. She walks to work now. | When did Olga sell her car? | spring
The library has a room for children. Stories are read there on Fridays. | When are stories read? | Friday/Fridays
Victor keeps bees on his roof. Last year he got nine jars of honey. | Where does Victor keep his bees? | roof
The team from Leeds won the match. The score was two to one. | Which team won the match? | Leeds
Ruth forgot her umbrella on the bus. She got very wet. | What did Ruth forget? | umbrella
The lamp in the hall needs a new bulb. The spare ones are in the drawer. | Where are the spare bulbs? | drawer
Dan's plane was late because of fog. He missed the wedding. | Why was Dan's plane late? | fog
Our neighbour grows tomatoes on her balcony. She gives half of them away. | What does our neighbour grow? | tomatoes
The hike begins at the old mill. It takes about four hours. | Where does the hike begin? | mill
Sophie adopted a small black dog. She named it Pepper. | What did Sophie name her dog? | Pepper
The market is held on the square. Fish is sold at the far end. | What is sold at the far end of the market? | fish
Carl learned to knit from his aunt. His first piece was a hat. | Who taught Carl to knit? | aunt
The cinema shows a film about whales tonight. It begins at eight. | What is the film about? | whales/whale
Alice keeps her money in a tin box. The box is behind the books. | Where does Alice keep her money? | box/tin
The doctor told Max to rest. He stayed in bed for a week. | How long did Max stay in bed? | week
A fox came into the garden at night. It stole a shoe. | What did the fox steal? | shoe
The new road is forty miles long. It joins two small towns. | How long is the new road? | 40/forty
Julia ordered tea and a sandwich. Her friend only wanted water. | What did the friend want? | water
The school play is about a king. Emil has the part of the cook. | Which part does Emil have? | cook
Their boat is called Blue Star. It has a small motor. | What is the boat called? | Blue Star
The tower is closed because of wind. It opens again tomorrow. | Why is the tower closed? | wind
Grace won the chess prize in Vienna. She is twelve years old. | How old is Grace? | 12/twelve
The bus stops in front of the bank. It runs every ten minutes. | Where does the bus stop? | bank
Nick planted a cherry tree. It bloomed in its second year. | What tree did Nick plant? | cherry
The recipe needs two eggs and a cup of sugar. The oven must be hot. | How many eggs are needed? | 2/two
Eva moved from Rome to Berlin. She works in a bakery there. | Where does Eva work? | bakery
The river froze in January. People walked across it. | When did the river freeze? | January
Sam cut the grass on Saturday. His reward was ice cream. | What was Sam's reward? | ice cream
The first house on the street is empty. A painter lives in the second. | Who lives in the second house? | painter
The tent is big enough for five people. It weighs very little. | How many people fit in the tent? | 5/five
The roof of the barn is red. The barn was built by two brothers. | What color is the roof of the barn? | red
Oscar has three sisters. The eldest is a nurse in Lyon. | How many sisters does Oscar have? | 3/three
The bakery on Hill Street sells rye bread. It is closed on Sunday. | Which bread does the bakery sell? | rye
Lucy found a silver coin on the beach. She gave it to her mother. | What did Lucy find on the beach? | coin
The meeting begins at four in the green room. Bring a pen. | In which room is the meeting? | green
Mark rides a horse named Thunder. He won a race last summer. | What is the name of Mark's horse? | Thunder
The lemon tree stands next to the well. It was planted by a monk. | Who planted the lemon tree? | monk
Elena works as a dentist in Porto. She was born in Lima. | In which city does Elena work? | Porto
The blanket is made of wool. It was a gift from our aunt. | What is the blanket made of? | wool
Peter is allergic to peanuts. He always carries medicine. | What is Peter allergic to? | peanuts/peanut
The hospital is opposite the post office. It has a blue door. | What is opposite the post office? | hospital
Clara caught a cold in Norway. She drank hot tea for days. | Where did Clara catch a cold? | Norway
The cellar holds barrels of cider. The attic is full of old toys. | What is the attic full of? | toys/toy
Ivan drew a map of the island. The treasure lies near a cave. | Where does the treasure lie? | cave
The twins are called Ada and Ron. They turn six in May. | In which month do the twins turn six? | May
A storm broke the window of the chapel. It was repaired in a week. | What broke the window of the chapel? | storm
Anton keeps rabbits behind his house. He feeds them with carrots. | What does Anton feed his rabbits with? | carrots
The violin belonged to a sailor. It is now in a museum in Genoa. | To whom did the violin belong? | sailor
Maria collects stamps from Africa. Her best one shows a lion. | What does Maria collect? | stamps/stamp
The mountain hut has room for thirty guests. It has no electricity. | How many guests can stay in the hut? | 30/thirty
Felix ran ten miles on Tuesday. He was tired but happy. | How many miles did Felix run? | 10/ten
The chapel bell rings at six. The baker opens his shop soon after. | When does the chapel bell ring? | 6/six
Dora wants to learn Greek. Her husband comes from Athens. | Which language does Dora want to learn? | Greek
The taxi driver found a wallet on the back seat. It held forty dollars. | Who found the wallet? | driver
Gabriel built a small ship in a bottle. It took him a winter. | What did Gabriel build? | ship
The sauce is made from peppers and garlic. It is very hot. | What is the sauce made from? | peppers/garlic
Mrs Lane teaches chemistry at the college. She loves gardening. | What does Mrs Lane teach? | chemistry
The statue in the park shows a bear. It was carved from granite. | What does the statue show? | bear
Hugo left his keys at the barber. He went back to get them. | Where did Hugo leave his keys? | barber
The pond is home to two swans. They arrived in autumn. | Which birds live on the pond? | swans/swan
Irene paid for the meal with a gold ring. The owner was amazed. | What did Irene pay with? | ring
The path to the castle is steep. It takes an hour on foot. | How long does it take to walk to the castle? | hour/1
Walter has a job at the airport. He repairs engines. | Where does Walter work? | airport
The puppy chewed the left shoe. The right one is fine. | Which shoe did the puppy chew? | left
Edith sings in a choir on Thursdays. The choir has forty members. | On which day does Edith sing? | Thursday/Thursdays
The farmer sold his tractor to a neighbour. He bought a truck. | What did the farmer buy? | truck
Kevin is afraid of spiders. His wife carries them outside. | What is Kevin afraid of? | spiders/spider
The castle was destroyed by fire in 1740. Only a wall is left. | What destroyed the castle? | fire
Susan made soup from a pumpkin. She grew it herself. | What did Susan make soup from? | pumpkin
The boat trip costs nine dollars. Children pay half. | How much does the boat trip cost? | 9/nine
Ralph hid the present in the oven. His wife found it at once. | Where did Ralph hide the present? | oven
The desk is made of cherry wood. It has a secret drawer. | What does the desk have? | drawer
Tina is a lawyer in Geneva. Her office is above a cheese shop. | What is above the cheese shop? | office
The parrot learned to say hello in Dutch. It took two years. | How long did it take the parrot to learn? | 2/two
Bill put honey in his tea. He had no sugar left. | What did Bill put in his tea? | honey
The lighthouse has ninety steps. At the top is a lamp. | How many steps does the lighthouse have? | 90/ninety
Agnes gave her piano to a school. She kept the old stool. | To whom did Agnes give her piano? | school
The wedding took place in a barn. It was raining outside. | Where did the wedding take place? | barn
Noah's favorite color is purple. His room is full of it. | What is Noah's favorite color? | purple
The thief came through the kitchen window. He took only a cake. | What did the thief take? | cake
Philip met his wife on a train to Vienna. They shared an apple. | Where did Philip meet his wife? | train
The carpet came from Turkey. It has a pattern of birds. | Where did the carpet come from? | Turkey
The orange truck belongs to the circus. The white one is mine. | To whom does the orange truck belong? | circus
Diana saw a whale near the harbour. She had no camera. | What did Diana see? | whale
The recipe was written by a monk named Paulus. It is very old. | Who wrote the recipe? | Paulus/monk
The cottage has a thatched roof. A painter rents it every summer. | Who rents the cottage? | painter
Greg broke a plate while washing up. He glued it together. | What did Greg break? | plate
Our teacher likes to tell stories about India. She grew up there. | Where did our teacher grow up? | India
The wind blew the hat into the canal. A swan sat on it. | Where did the wind blow the hat? | canal
Otis plays chess with his grandfather. They play after dinner. | What does Otis play with his grandfather? | chess
The bus to the zoo is number twelve. It is usually full. | Which bus goes to the zoo? | 12/twelve
Nadia bakes bread with olives. Her son likes it with butter. | What does Nadia bake bread with? | olives/olive
The key to the shed hangs behind the mirror. The shed is full of tools. | Where does the key hang? | mirror
The blue team scored five goals. The red team scored none. | How many goals did the blue team score? | 5/five
Simon wears glasses since his accident. They are round. | What does Simon wear? | glasses
The cafe serves pancakes until noon. After that it serves salad. | What does the cafe serve until noon? | pancakes
Joan's garden is full of tulips. She waters them every evening. | What is Joan's garden full of? | tulips/tulip
The explorer crossed the desert on a camel. It took a month. | On what did the explorer cross the desert? | camel
The nurse has a brother in Chile. He sells wine. | Where does the nurse's brother live? | Chile
The picture over the sofa shows a lake. It was painted by a child. | What does the picture show? | lake
"""


def guard_candidates() -> list[dict[str, Any]]:
    """Every candidate: {family, messages, reference, checks}."""
    found = []
    for family, pattern, table in PATTERNS:
        for pair in table.split(", "):
            word, answers = pair.split("=")
            found.append(_row(family, pattern.format(word), answers))
    for line in SINGLE.strip().splitlines():
        question, answers = line.split(" | ")
        found.append(_row("everyday", f"{question} {SHORT}", answers))
    for line in READING.strip().splitlines():
        passage, question, answers = line.split(" | ")
        found.append(_row("reading", f"{passage} {question}", answers))
    return found


def _row(family: str, prompt: str, answers: str) -> dict[str, Any]:
    values = answers.split("/")
    check = {"type": "contains-any", "value": values, "of": "content"}
    messages = [{"role": "user", "content": prompt}]
    return {"family": family, "messages": messages, "reference": values[0], "checks": [check]}
