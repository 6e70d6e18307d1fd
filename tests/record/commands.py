# ruff: noqa: E501
"""The command lines: groups that share a folder, each with its files and perhaps with the runs of the reference."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Group:
    """Commands in one folder; `old` unpacks the reference's runs, `columns` is the width of a terminal or 0."""

    name: str
    lines: list[str]
    files: dict[str, object] = field(default_factory=dict)
    old: bool = False
    columns: int = 0


def lines(text: str) -> list[str]:
    return [
        line.strip() for line in text.strip().splitlines() if line.strip() and not line.strip().startswith("#")
    ]


def each(command: str, formats: str = "table csv markdown latex json") -> list[str]:
    return [f"{command} --format {name}" for name in formats.split()] + [f"{command} --json", f"{command} --quiet"]


SMALL = """\
name: t
model: {hidden: [16, 16], activation: relu}
data: {dataset: synthetic, images: 600, batch_size: 64}
optimizer: {name: sgd, lr: 0.1}
epochs: 2
threads: 1
device: cpu
"""
DEEP = """\
name: deep
model: {hidden: [16, 16, 16, 16, 16], activation: sigmoid}
data: {dataset: synthetic, images: 600, batch_size: 64}
optimizer: {name: sgd, lr: 0.01}
epochs: 1
threads: 1
device: cpu
"""
DIGITS = SMALL.replace("name: t", "name: d", 1).replace("synthetic, images: 600", "digits")
RICH = """\
name: rich
model: {hidden: [16, 12], activation: {name: leaky-relu}, init: kaiming, norm: batch, dropout: 0.1, skip: []}
data: {dataset: synthetic, images: 600, batch_size: 50, holdout: 100, normalize: {mean: 0.2, std: 0.5}}
optimizer: {name: momentum, lr: 0.05, beta: 0.9}
weight_decay: 1e-4
clip_norm: 1
schedule: {name: cosine}
early_stopping: {patience: 5}
curvature: {every: 1, images: 200}
epochs: 3
threads: 1
device: cpu
probes: 2
expect: [val_acc > 0.01]
"""
PLATEAU = SMALL.replace("name: t", "name: p", 1).replace("epochs: 2", "epochs: 4\nplateau: {patience: 1, factor: 0.5}\n"
                                                         "weight_decay: 0.001")  # fmt: skip
TRAININGS = {"t.yaml": SMALL, "deep.yaml": DEEP, "d.yaml": DIGITS, "rich.yaml": RICH, "plateau.yaml": PLATEAU}
MY_ADAM = re.search(r"```python\n# my_adam.py\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
TURNING = re.search(r"```python\n# turning.py\n(.*?)```", (ROOT / "docs/invent.md").read_text(), re.DOTALL)[1]
CODE = {
    "my_adam.py": MY_ADAM,
    "turning.py": TURNING,
    "mom.py": "def momentum(w, g, lr, V, beta):\n    V = beta * V + g\n    return w - lr * V, V\n",
    "torch_sgd.py": "import torch\n\n\nclass Mine(torch.optim.Optimizer):\n    def __init__(self, params, lr=0.1):\n"
    "        super().__init__(params, dict(lr=lr))\n\n    def step(self):\n        for g in self.param_groups:\n"
    "            for p in g['params']:\n                p.data -= g['lr'] * p.grad\n",
    "subs/anna.py": MY_ADAM,
    "subs/ben.py": "class Adam:\n    def update(self, w, g):\n        return w - 1 / 0\n",
    "subs/cleo.py": MY_ADAM.replace("self.V / (np", "self.V * 2 / (np"),
    "bad.yaml": "function: ravine\nalgo: {name: adam, lr: -1}\nepochs: 0\nfoo: 3\n",
    "badtrain.yaml": "name: b\nmodel:\n  hidden: [16, x]\n  activaton: relu\ndata: {dataset: fashion}\noptimizer:\n"
    "  name: adam\n  lr: -0.01\nepochs: many\n",
    "o.yaml": "algo: [sgd, {name: momentum, beta: 0.5}]\nfunction: booth\nepochs: 12\nexpect: ['distance < 9']\n",
    "checks.yaml": "checks:\n- name: paths\n  optimize: {algo: [sgd, adam], epochs: 30}\n"
    "  expect: ['adam: distance < 0.2', 'sgd: f == 0.0168 +- 5e-5']\n- name: fails\n  optimize: adam.yaml\n"
    "  expect: [distance < 0.001]\n- name: slow one\n  slow: true\n  optimize: adam.yaml\n  expect: [distance < 1]\n",
}

OPTIMIZE = lines("""
    optilab --version
    optilab
    optilab optimize --algo adam --epochs 30
    optilab optimize --algo sgd,momentum,rmsprop,adam --epochs 50 --plot paths.png
    optilab optimize --algo sgd,momentum,rmsprop,adam --epochs 50 --plot dark.png --dark
    optilab optimize --algo sgd,adam --epochs 20 --plot p.svg --no-save
    optilab optimize --algo sgd,adam --epochs 20 --plot p.pdf --no-save
    optilab optimize --algo adam --function rosenbrock --start -1,1 --epochs 200
    optilab optimize --algo nesterov --function "w1^2 + 3*w2^4" --lr 0.05
    optilab optimize --algo momentum --set algo.beta=0.9 --set schedule=cosine --json
    optilab optimize --algo adam --lr 0.1 --set algo.beta1=0.5 --epochs 30
    optilab optimize --algo adam --function "x^2 + 3*y^4" --start 2,1
    optilab optimize --algo sgd --function "x^4 - x^2" --start 2 --lr 0.02 --no-save
    optilab optimize --set 'algo=[{name: adam, beta1: 0.5}, {name: adam, lr: 0.1}, sgd]'
    optilab optimize --algo adam --set schedule=cosine --set clip_norm=1 --set noise=0.1
    optilab optimize --config adam.yaml --json
    optilab optimize --config adam.yaml --quiet
    optilab optimize --config o.yaml --name o
    optilab optimize --algo sgd --function himmelblau --lr 0.037 --start 0.5,0.25 --epochs 80
    optilab optimize --algo sgd,adam,nadam,lion --tune 50 --plot tuned.png
    optilab optimize --algo sgd,momentum,rmsprop,adam --epochs 50 --picture
    optilab optimize --algo sgd --function "x^4 - x^2" --start 2 --lr 0.02 --no-save --picture
    optilab optimize --algo sgd,momentum --epochs 3 --animate paths.gif
    optilab optimize --algo sgd,momentum --epochs 12 --animate paths.html
    optilab optimize --algo sgd,momentum,rmsprop,adam --epochs 30
    optilab optimize --algo momentum --epochs 100
    optilab optimize --algo sgd --lr 5 --epochs 400 --fail-on-divergence
    optilab optimize --algo sgd --lr 5 --epochs 400 --no-save
    optilab optimize --algo turning.py:turning,momentum,nesterov,adam --lr 0.2 --epochs 40 --no-save
    optilab optimize --algo adam --expect 'distance < 0.2' --expect 'status == moving' --quiet
    optilab optimize --algo adam --expect 'distance < 0.02' --expect 'f at 10 < 0.5'
    optilab optimize --algo adam --expect 'distance < 0.02' --json
    optilab optimize --algo newton,lbfgs,cg,polyak,barzilai-borwein,prodigy --function rosenbrock --epochs 30 --no-save
    optilab optimize --algo sam,lookahead,lion,adagrad,adadelta,rprop --function beale --epochs 25 --json --no-save
    optilab optimize --algo adamw,amsgrad,adamax,radam,yogi --function himmelblau --set weight_decay=0.01 --no-save
    optilab optimize --algo sgd --set schedule=step --set weight_decay=0.1 --set clip_value=0.5 --set seed=3
    optilab optimize --name o
    optilab optimize --config nosuch.yaml
    optilab optimize --config bad.yaml
    optilab runs ls
    optilab runs show latest
    optilab runs show o --json
    optilab runs show o --config
    optilab runs path o
    optilab runs plot o
    optilab explain --algo momentum --step 2
    optilab explain adam --step 2
    optilab explain sgd,momentum --step 1-3
    optilab explain rmsprop --function "w1^2 + w1*w2 + w2^2" --start 1,-2 --format latex
    optilab explain momentum --step 3 --format markdown
    optilab explain nesterov --step 2 --json
    optilab explain adamw,nadam,lion,adagrad --step 1 --set schedule=cosine
    optilab explain adam --step 3 --quiet
    optilab explain turning.py:turning --step 3 --lr 0.2
    optilab explain newton --step 1
    optilab map --algo momentum --x algo.lr=0.01:2:400 --y algo.beta=0:0.99:200 --epochs 100 --plot map.png
    optilab map --algo adam --function beale --x lr=1e-3:10:100:log --y beta1=0:0.99:60 --show steps
    optilab map --algo momentum --function himmelblau --lr 0.01 --epochs 200 --basins --plot basins.png
    optilab map --algo momentum --function himmelblau --lr 0.01 --epochs 50 --basins
    optilab map --algo turning.py:turning --x lr=0.01:1:60 --y keep=0:1:60
    optilab map --algo sgd --x lr=0.01:1:20 --y w1=-5:5:20 --json
    optilab map --algo sgd --x lr=0.01:1:20 --quiet
    optilab play --algo sgd,momentum,adam
    optilab play --algo sgd,momentum,adam --function rosenbrock --tune 20 --epochs 200 --out rosenbrock.html
    optilab play --algo adam,rmsprop --function "x^2 + 3*y^4" --start 2,1 --out mine.html --json
    optilab play --algo momentum,nesterov --function "x^4 - x^2" --start 2 --lr 0.02 --out curve.html --quiet
    optilab play --algo turning.py:turning,momentum --lr 0.2
    optilab check adam.yaml --expect 'distance < 0.2' --expect 'f at 10 < 0.5'
    optilab check adam.yaml --expect 'distance < 0.02' --json --junit j.xml
    optilab check checks.yaml
    optilab check checks.yaml --slow --junit checks.xml
    optilab check checks.yaml --only 'pa*' --json
    optilab check checks.yaml --quiet
    optilab check o.yaml
    optilab check o
""")

RACE = "optilab race --algos sgd,momentum,adam --functions rosenbrock,beale,himmelblau --budget 20 --starts 10"
QUICK = "optilab race --algos sgd,adam --functions booth,beale --budget 5 --starts 3 --repeats 2 --epochs 40"
VERIFY = [
    RACE,
    f"{RACE} --report race.html --plot race.png",
    *each(QUICK),
    f"{QUICK} --settings",
    f"{QUICK} --settings --json",
    f"{QUICK} --plot dark.png --dark --seed 3 --accuracy 0.01",
    f"{QUICK} --expect 'adam: cost < 1'",
    f"{QUICK} --expect 'best: cost < 1000' --no-cache",
    "optilab race --algos turning.py:turning,momentum --functions ravine,booth --budget 5 --starts 3 --no-cache",
    *lines("""
    optilab verify my_adam.py:Adam --against adam
    optilab verify my_adam.py:Adam --against adam --json
    optilab verify my_adam.py:Adam --against momentum --function beale --epochs 20
    optilab verify mom.py:momentum --against momentum
    optilab verify mom.py:momentum --against momentum --set algo.form=ema --json
    optilab verify torch_sgd.py:Mine --against sgd
    optilab verify turning.py:special_case --against momentum
    optilab verify mom.py:nothing --against momentum
    optilab verify subs/ben.py:Adam --against adam
    optilab verify --algo adam,adamw
    optilab verify --algo sgd,momentum --json
    optilab verify --algo lion --quiet
    """),
    *each(
        "optilab verify 'subs/*.py:Adam' --against adam --points equal=10,explained=6,differs=2 --timeout 2",
        "table junit json",
    )[:3],
]

CONFIG = lines("""
    optilab config ls
    optilab config ls --json
    optilab config ls --quiet
    optilab config cp sigmoid.yaml my.yaml
    optilab config cp sigmoid.yaml my.yaml
    optilab config cp sigmoid.yaml my.yaml --force --json
    optilab config cp adam.yaml a.yaml --quiet
    optilab config check my.yaml
    optilab config check my.yaml a.yaml t.yaml o.yaml deep.yaml rich.yaml
    optilab config check my.yaml --json
    optilab config check bad.yaml badtrain.yaml my.yaml
    optilab config check bad.yaml badtrain.yaml --json
    optilab config check badtrain.yaml --quiet
    optilab config check nosuch.yaml
    optilab config check checks.yaml
    optilab config show train
    optilab config show optimize
    optilab config show sweep
    optilab config show race
    optilab config show remedy
    optilab config show check
    optilab config show train model.norm
    optilab config show train optimizer
    optilab config show train schedule
    optilab config show train --json
    optilab config show optimize --json
    optilab config show sweep --quiet
    optilab config show optimize adam
    optilab config show adam.yaml
    optilab config show t.yaml
    optilab config show train nosuch
    optilab config show nosuch
    optilab config schema train
    optilab config schema train --quiet
    optilab config schema optimize
    optilab config schema sweep
    optilab config schema race
    optilab config schema remedy
    optilab config schema check
    optilab config schema nosuch
    optilab env
    optilab env --json
    optilab env --quiet
    optilab data ls
    optilab data ls --json
    optilab data ls --quiet
    optilab data where mnist
    optilab data where
    optilab data where fashion-mnist --json
    optilab data where mnist --data-dir nosuch
    optilab data where fashion-mnist --quiet
    optilab data verify fashion-mnist
    optilab data verify synthetic
    optilab data verify synthetic --json
    optilab data verify digits
    optilab data verify mnist
    optilab data verify nosuch
    optilab data fetch synthetic
    optilab data fetch fashion-mnist --json
    OPTILAB_RUNS=elsewhere optilab runs ls
    optilab runs ls
    optilab runs show latest
    optilab runs ls --json
    optilab train t.yaml --set nosuch=3
    optilab train badtrain.yaml
    optilab train t.yaml --set optimizer.lr=-1 --set epochs=0
    optilab train t.yaml --set optimizer=adm
    optilab sweep t.yaml --over optimizer.lrr=0.1,1
    optilab sweep t.yaml --over optimizer.lr=1:0.1:3:log
    optilab race --on nosuch.yaml
    optilab race --algos adm,sgd
    optilab race --on t.yaml --starts 3
    optilab race --seeds 3
    optilab remedy t.yaml --only nosuch
    optilab lr t.yaml --steps 7
    optilab lr nosuch.yaml
    optilab diagnose nosuch
    optilab report nosuch
    optilab runs compare nosuch
    optilab runs diff a b
    optilab runs export nosuch --to rows.csv
    optilab runs rm nosuch
    optilab nosuch
    optilab runs nosuch
    optilab optimize --nosuch
    optilab optimize --algo
    optilab optimize extra
    optilab train
    optilab train a.yaml b.yaml
    optilab sweep
    optilab map
    optilab play --out x.txt
    optilab runs show
    optilab explain adam --step 0
    optilab explain adam --step 3-1
    optilab explain adam --format html
    optilab map --algo sgd --x lrr=0:1 --y lr=0:1
    optilab map --algo sgd --x lr=0:1 --y w1=0:1 --show what
    optilab optimize --algo adam --start 1,2,3
    optilab optimize --algo adam --function nosuch
    optilab optimize --algo adam --function "x^2 + (y"
    optilab optimize --algo adam --plot x.jpg
    optilab optimize --algo adam --animate x.png
    optilab optimize --algo adam --expect 'nosuch < 3'
    optilab optimize --algo adam --expect 'distance <'
    optilab optimize --algo adam --name a/b
    optilab optimize --algo adam --epochs x
    optilab optimize --algo adam --tune 0
    _OPTILAB_COMPLETE=complete_bash COMP_WORDS='optilab optimize --algo a' COMP_CWORD=3 optilab
    _OPTILAB_COMPLETE=complete_bash COMP_WORDS='optilab train --opt' COMP_CWORD=2 optilab
    _OPTILAB_COMPLETE=complete_bash COMP_WORDS='optilab train sig' COMP_CWORD=2 optilab
    _OPTILAB_COMPLETE=complete_bash COMP_WORDS='optilab race --' COMP_CWORD=2 optilab
    _OPTILAB_COMPLETE=complete_bash COMP_WORDS='optilab ru' COMP_CWORD=1 optilab
    _OPTILAB_COMPLETE=complete_zsh _TYPER_COMPLETE_ARGS='optilab sweep --me' optilab
""")

DATA = "--set data.images=2000"
FASHION = lines(f"""
    optilab train --config sigmoid.yaml --epochs 2 {DATA} --threads 1 --name plain --plot curves.png
    optilab train batchnorm.yaml --epochs 1 {DATA} --threads 1 --name normalized
    optilab train relu.yaml --optimizer turning.py:turning --set optimizer.keep=0.5 --lr 0.02 --epochs 1 {DATA} --threads 1
    optilab train sigmoid.yaml {DATA} --epochs 2 --set curvature.every=1 --set curvature.images=500 --threads 1 --name s
    optilab diagnose s
    optilab diagnose sigmoid.yaml
    optilab diagnose sigmoid.yaml --json --fail-on critical
    optilab runs plot plain normalized
    optilab report plain normalized --out report.html
    optilab lr relu.yaml --steps 100 --set data.images=10000
    optilab sweep sigmoid.yaml --over optimizer.lr=1e-3:10:9:log --over model.init=default,unit-gain --seeds 3 --dry-run
    optilab sweep sigmoid.yaml --over optimizer.lr=1e-3:10:9:log --seeds 3 --epochs 10 --dry-run --json
    optilab race --on sigmoid.yaml,relu.yaml --algos sgd,momentum,adam --budget 10 --epochs 10 --seeds 5 --dry-run
    optilab race --on sigmoid.yaml,relu.yaml,batchnorm.yaml --budget 10 --epochs 10 --seeds 5 --dry-run --json
    optilab remedy sigmoid.yaml --tune 5 --seeds 5 --epochs 10 --dry-run
    optilab remedy sigmoid.yaml --dry-run --json
    optilab train --config sigmoid.yaml --epochs 1 {DATA} --set "model.init={{name: normal, std: 0.9}}" --threads 1
    optilab data verify --data-dir nosuch
""")

MAKE = lines("""
    optilab train t.yaml --name one
    optilab train t.yaml --epochs 1 --name part
    optilab train --resume part --epochs 2
    optilab runs diff one part
    optilab train --resume part
    optilab train --resume part --set optimizer.lr=3
    optilab train --resume part --epochs 1
    optilab train t.yaml --epochs 2 --seed 7 --optimizer adam --lr 0.01 --batch-size 128 --name adam --json
    optilab train t.yaml --optimizer prodigy --name prodigy --quiet
    optilab train --fork one@1 --set optimizer=adam --name switched
    optilab train --fork one --epochs 3 --set optimizer.lr=0.05 --name faster
    optilab train --fork one@7
    optilab train --fork one@1 --set model.hidden=[4]
    optilab train t.yaml --seeds 2 --epochs 1 --jobs 1 --name seeds
    optilab train t.yaml --seeds 3 --epochs 1 --jobs 1 --name seeds
    optilab train t.yaml --seeds 3 --epochs 1 --jobs 1 --name seeds --set optimizer.lr=1
    optilab train d.yaml --name digits
    optilab train deep.yaml --name deep
    optilab train rich.yaml --name rich
    optilab train plateau.yaml --name plateau
    optilab train t.yaml --set optimizer.lr=1e9 --name boom
    optilab train t.yaml --set optimizer.lr=30 --name high --epochs 1
    optilab train t.yaml --log tensorboard --name logged --epochs 1
    optilab train t.yaml --expect 'val_acc > 0.999' --expect 'val_loss < 100' --name claim --epochs 1
    optilab train t.yaml --plot curves.png --picture --name one2
    optilab train t.yaml --name one
    optilab sweep t.yaml --over optimizer.lr=0.02,0.1 --over model.activation=sigmoid,relu --seeds 2 --epochs 1 --jobs 1 --name grid
    optilab sweep t.yaml --over optimizer.lr=0.02,0.1 --over model.activation=sigmoid,relu --seeds 2 --epochs 1 --jobs 1 --name grid
    optilab sweep t.yaml --over optimizer.lr=0.02,0.1,0.5 --over model.activation=sigmoid,relu --seeds 2 --epochs 1 --jobs 1 --name grid
    optilab sweep t.yaml --over optimizer.lr=0.3,0.7 --seeds 2 --epochs 1 --jobs 1 --name grid
    optilab sweep --resume grid --json
    optilab sweep --config runs/grid/study.yaml --dry-run
    optilab sweep t.yaml --over optimizer.lr=0.1,0.03 --over data.batch_size=256,64 --zip --epochs 1 --jobs 1 --name zipped --quiet
    optilab sweep t.yaml --over optimizer.lr=1e-3:1:log --over model.hidden=[8],[12,12] --samples 3 --epochs 1 --jobs 1 --name sampled
    optilab sweep t.yaml --over optimizer.lr=1e-3:1:5:log --halving 2 --epochs 4 --jobs 1 --name halved
    optilab sweep t.yaml --over optimizer=sgd,adam --over optimizer.lr=1e-4:1:log --samples 4 --search tpe --epochs 1 --jobs 1 --name tpe
    optilab sweep --resume tpe
    optilab sweep t.yaml --over optimizer.lr=0.1,1e9 --seeds 1 --epochs 1 --jobs 1 --name broken --expect 'best: val_acc > 0.01'
    optilab sweep t.yaml --over optimizer.lr=1e9,0.1 --epochs 1 --jobs 1 --name failfast --fail-fast --json
    optilab remedy deep.yaml --only batchnorm,relu --seeds 1 --epochs 1 --jobs 1 --name rem
    optilab remedy deep.yaml --only batchnorm,relu --pairs --tune 2 --seeds 2 --epochs 1 --jobs 1 --set data.holdout=100 --name pairs --json
    optilab remedy --resume rem
    optilab race --on t.yaml,deep.yaml --algos sgd,adam --budget 2 --epochs 1 --seeds 2 --set data.holdout=100 --jobs 1 --name race
    optilab race --resume race --format markdown
    optilab race --resume race --report race.html --plot race.png
    optilab race --resume race --settings
    optilab race --on t.yaml,deep.yaml --algos sgd,adam --budget 2 --epochs 1 --seeds 2 --set data.holdout=100 --jobs 1 --name race --json
    optilab lr t.yaml --steps 100
    optilab lr t.yaml --steps 100 --json
    optilab lr t.yaml --steps 100 --quiet --optimizer adam
    optilab lr t.yaml --steps 100 --plot rates.png --set data.batch_size=32
    optilab lr deep.yaml --steps 100
    optilab lr t.yaml --steps 100 --confirm --seeds 2 --epochs 1 --jobs 1 --name rates
    optilab check t.yaml --expect 'val_acc > 0.01' --expect 'grad_ratio > 1e-9'
    optilab check t.yaml --seeds 2 --expect 'val_acc > 0.01 confidence 0.95' --jobs 1 --json
    optilab check one --expect 'val_acc > 0.999' --junit r.xml
    optilab diagnose deep.yaml
    optilab diagnose t.yaml --json
    optilab runs ls
""")

COMPARED = [
    *each("optilab runs compare grid"),
    *each("optilab runs compare one adam switched faster"),
    *each("optilab runs compare race --metric val_acc", "table markdown"),
]
READ = [
    *each("optilab runs ls"),
    *each("optilab runs ls grid"),
    *each("optilab runs show grid"),
    *each("optilab runs show one"),
    *COMPARED,
    *lines("""
    optilab runs ls --where 'optimizer.lr>0.05' --where state=done --sort -val_acc
    optilab runs ls --where run~*a* --sort epochs
    optilab runs ls --where command=sweep
    optilab runs ls --where nosuch=3
    optilab runs ls --sort nosuch
    optilab runs ls halved
    optilab runs ls tpe --format csv
    optilab runs ls race
    optilab runs ls nosuch
    optilab runs show latest
    optilab runs show one --config
    optilab runs show boom
    optilab runs show high
    optilab runs show switched
    optilab runs show race
    optilab runs show rem
    optilab runs show pairs
    optilab runs show halved
    optilab runs show tpe
    optilab runs show rates
    optilab runs show broken
    optilab runs show seeds
    optilab runs show grid/nosuch
    optilab runs path latest
    optilab runs path grid
    optilab runs path grid --json
    optilab runs compare grid --metric val_loss
    optilab runs compare grid --at best --baseline 'lr 0.02, relu'
    optilab runs compare grid --target 0.2
    optilab runs compare grid --target 0.2 --format csv
    optilab runs compare grid --by optimizer.lr
    optilab runs compare grid --by optimizer.lr --over problems
    optilab runs compare grid --by model.activation --format latex
    optilab runs compare grid --metric test_acc
    optilab runs compare race
    optilab runs compare rem
    optilab runs compare pairs
    optilab runs compare halved tpe
    optilab runs compare sampled zipped --at area
    optilab runs compare one one2 part
    optilab runs compare seeds
    optilab runs compare rates
    optilab runs compare boom one
    optilab runs compare broken failfast
    optilab runs compare one --metric nosuch
    optilab runs compare one --at 99
    optilab runs diff one one2
    optilab runs diff one part
    optilab runs diff one adam
    optilab runs diff one adam --json
    optilab runs diff one adam --quiet
    optilab runs diff one deep
    optilab runs diff one rich --json
    optilab runs diff one grid
    optilab runs plot one
    optilab runs plot one --plot one.png
    optilab runs plot one adam switched --plot many.png --dark
    optilab runs plot grid
    optilab runs plot grid --plot grid.png
    optilab runs plot race --plot race.png
    optilab runs plot rich --plot rich.svg --json
    optilab runs plot rates --plot rates.png
    optilab runs plot one --plot one.jpg
    optilab runs plot boom
    optilab runs export one --to rows.csv
    optilab runs export grid one --to rows.csv
    optilab runs export grid one --to rows.csv --force
    optilab runs export grid race one --to rows.sqlite --json
    optilab runs export grid one --to rows.parquet
    optilab runs export one --tensorboard logs
    optilab runs export one --to rows.xls
    optilab diagnose one
    optilab diagnose one --json
    optilab diagnose deep
    optilab diagnose deep --fail-on warning
    optilab diagnose rich
    optilab diagnose boom
    optilab diagnose high
    optilab diagnose high --json
    optilab diagnose digits
    optilab diagnose switched
    optilab diagnose plateau
    optilab diagnose grid
    optilab diagnose latest
    optilab check one --expect 'val_acc > 0.01'
    optilab check one --expect 'val_acc at best > 0.9' --json
    optilab check grid --expect 'best: val_acc > 0.1 confidence 0.9'
    optilab check grid --expect 'lr 0.1, relu: val_acc > 0.9'
    optilab check race --expect 'adam: val_acc > 0.9'
    optilab check rich
    optilab report one --out one.html
    optilab report one adam switched faster --out four.html
    optilab report grid --out grid.html
    optilab report grid --metric val_loss --at best --title "Which start?" --out losses.html --json
    optilab report grid --by optimizer.lr --target 0.2 --out by.html --quiet
    optilab report race --out race.html
    optilab report rem pairs --out rem.html
    optilab report halved tpe rates --out three.html
    optilab report boom
    optilab train --resume one
    optilab train --resume one --epochs 3
    optilab train --resume rich --epochs 5
    optilab train --resume plateau --epochs 5
    optilab train --resume switched --epochs 3
    optilab train --resume boom
    optilab train --resume adam --epochs 3 --json
    optilab train --resume one --set optimizer.lr=3
    optilab train --resume one --set seed=3
    optilab train --resume grid
    optilab train --resume nosuch
    optilab train --fork rich@2 --set optimizer.lr=0.1 --name forked
    optilab train --fork digits@1 --name forked2
    optilab sweep --resume grid
    optilab sweep --resume one
    optilab sweep t.yaml --over optimizer.lr=0.02,0.1 --over model.activation=sigmoid,relu --seeds 3 --epochs 1 --jobs 1 --name grid
    optilab sweep t.yaml --over optimizer.lr=0.02,0.1 --over model.activation=sigmoid,relu --seeds 2 --epochs 2 --jobs 1 --name grid
    python import shutil, pathlib; shutil.rmtree(next(pathlib.Path("runs/halved").glob("*-s42*")))
    optilab sweep --resume halved
    optilab sweep --resume tpe --json
    optilab remedy --resume pairs
    optilab race --resume race
    optilab race --resume race --json
    optilab race --on t.yaml,deep.yaml --algos sgd,adam --budget 2 --epochs 1 --seeds 3 --set data.holdout=100 --jobs 1 --name race
    optilab sweep --config runs/zipped/study.yaml --jobs 1 --name again --quiet
    optilab train --config runs/one/config.yaml --name repeated
    optilab runs diff one repeated
    python import pathlib; pathlib.Path("runs/adam/metrics.csv").write_text("damaged")
    python import pathlib; pathlib.Path("runs/part/manifest.json").write_text("{")
    python import pathlib; [p.write_bytes(b"x") for p in pathlib.Path("runs/prodigy/checkpoints").iterdir()]
    optilab runs ls
    optilab runs show adam
    optilab runs show part
    optilab train --resume prodigy --epochs 3
    optilab train --resume adam --epochs 4
    optilab runs export adam one --to bad.csv
    optilab runs compare one part
    optilab runs rm boom
    optilab runs rm boom --yes
    optilab runs rm 'one*' --yes --json
    optilab runs rm grid --older-than 30d --yes
    optilab runs rm grid --yes --quiet
    optilab runs rm grid --older-than soon
    optilab runs ls
    """),
]

MORE = lines("""
    optilab verify mom.py:momentum --against momentum --memory 1024
    optilab verify mom.py:momentum --against momentum --memory 1
    optilab verify mom.py:momentum --timeout 0
    optilab verify mom.py:momentum
    optilab verify 'nosuch/*.py:Adam' --against adam
    optilab verify mom.py:momentum --against momentum --algo sgd
    optilab verify mom.py:momentum --against momentum --points equal=1
    optilab map --config o.yaml --x lr=0.01:1:10 --y w1=-5:5:5
    optilab map --config adam.yaml --x lr=0.01:1:10 --y beta1=0:0.9:5 --start -1,1 --set algo.eps=0.1 --plot m.png --dark
    optilab map --algo sgd --basins --x lr=0:1
    optilab map --algo sgd --function booth --basins --epochs 20
    optilab map --algo sgd --x lr=0.01:1:10 --y lr=0.01:1:10
    optilab map --algo sgd --x lr=1:0.1:10 --y w1=0:1
    optilab map --algo sgd --x lr=0.01:1:10 --y w1=0:1 --set schedule=cosine
    optilab map --algo sgd --x lr=0.01:1:10 --y w3=0:1
    optilab play --config o.yaml --out o.html --quiet
    optilab play --algo sgd --out o.yaml
    optilab race --on t.yaml --algos sgd,adam --target 0.2 --budget 2 --epochs 1 --seeds 2 --jobs 1 --set data.holdout=100 --name tt
    optilab race --config runs/tt/study.yaml --name tt2 --dry-run
    optilab race --config runs/tt/study.yaml --on t.yaml
    optilab race --on t.yaml --algos sgd --dry-run
    optilab race --on t.yaml --algos sgd,adam --target 2 --dry-run
    optilab race --on t.yaml --algos sgd,adam --fail-fast --data-dir nosuch --dry-run
    optilab race --algos sgd,adam --functions booth --budget 0
    optilab race --algos sgd,adam --functions booth --accuracy 2
    optilab race --algos sgd,adam --functions booth --seed -1
    optilab race --algos sgd,adam --functions booth --cache --budget 2 --starts 2 --repeats 1 --epochs 10 --runs-dir elsewhere --quiet
    optilab race --algos sgd,adam --functions booth --format html
    optilab race --algos sgd,adam --functions booth --json --settings
    optilab race --settings --quiet
    optilab race --dry-run
    optilab race --fail-fast
    optilab race --jobs 2
    optilab race --resume nosuch
    optilab train t.yaml --runs-dir elsewhere --epochs 1 --name e --plot e.png --dark --quiet
    optilab train t.yaml --data-dir nosuch --epochs 1 --name n
    optilab train t.yaml --device cuda:7
    optilab train t.yaml --device nosuch
    optilab train t.yaml --threads 0
    optilab train t.yaml --seeds 2 --epochs 1 --jobs 1 --expect 'val_acc > 0.9' --name s2 --plot s2.png --json
    optilab train t.yaml --seeds 2 --log tensorboard
    optilab train t.yaml --log nosuch
    optilab train t.yaml --jobs 2
    optilab train t.yaml --json --quiet
    optilab train t.yaml --config t.yaml
    optilab train t.yaml --resume e
    optilab train --resume e --name f
    optilab train --resume e --fork e
    optilab train --fork nosuch@1
    optilab train --fork e@x
    optilab train t.yaml --optimizer sgd --set optimizer.lr=0.3 --epochs 1 --name o1 --quiet
    optilab train t.yaml --lr 0.3 --optimizer adam --epochs 1 --name o2 --quiet
    optilab train t.yaml --set optimizer=adam --set optimizer.lr=0.01 --epochs 1 --name o3 --quiet
    optilab train t.yaml --set model.hidden=[] --epochs 1 --name o4
    optilab train t.yaml --set 'stages=[{epochs: 1}]' --epochs 1
    optilab train t.yaml --set clip_norm=1 --set schedule=one-cycle --set weight_decay=0.01 --epochs 2 --name o5
    optilab train t.yaml --set data.dataset=npz
    optilab train t.yaml --set dtype=float64 --epochs 1 --name o6
    optilab train t.yaml --set =3
    optilab train t.yaml --set optimizer
    optilab lr t.yaml --steps 100 --batch-size 32 --seed 3 --device cpu --dark --plot d.png
    optilab lr t.yaml --steps 100 --expect 'rate > 0.001' --json
    optilab lr t.yaml --steps 100 --expect 'rate > 1000'
    optilab lr t.yaml --steps 100 --data-dir nosuch
    optilab lr t.yaml --steps 100 --seeds 3
    optilab lr t.yaml --steps 100 --name x
    optilab lr t.yaml --steps 100 --confirm --seeds 1 --epochs 1 --jobs 1 --json --name lrc
    optilab sweep t.yaml --over optimizer.lr=0.1,0.5 --epochs 1 --jobs 1 --device cpu --set clip_norm=1 --runs-dir elsewhere --name g
    optilab sweep t.yaml --over optimizer.lr=0.1,0.5 --dry-run --quiet
    optilab sweep t.yaml --over optimizer.lr=0.1,0.5 --over optimizer.lr=1,2 --dry-run
    optilab sweep t.yaml --over seed=1,2 --dry-run
    optilab sweep t.yaml --over epochs=1,2 --dry-run
    optilab sweep t.yaml --zip --over optimizer.lr=0.1,0.5 --over data.batch_size=1,2,3 --dry-run
    optilab sweep t.yaml --samples 3 --dry-run
    optilab sweep t.yaml --over optimizer.lr=0.1:1:log --dry-run
    optilab sweep t.yaml --over optimizer.lr=0.1:1:log --search tpe --dry-run
    optilab sweep t.yaml --over optimizer.lr=0.1,0.5 --search grid --dry-run
    optilab sweep t.yaml --over optimizer.lr=0.1,0.5 --halving 1 --dry-run
    optilab sweep t.yaml --over optimizer.lr=0.1,0.5 --halving 2 --keep none --metric val_loss --epochs 4 --dry-run
    optilab sweep t.yaml --over optimizer.lr=0.1,0.5 --metric nosuch --dry-run
    optilab sweep t.yaml --over optimizer.lr=0.1,0.5 --keep some --dry-run
    optilab sweep t.yaml --over optimizer.lr=0.1,0.5 --seeds 0
    optilab sweep t.yaml --over optimizer.lr=0.1,0.5 --jobs 0
    optilab sweep t.yaml --over optimizer.lr=0.1,0.5 --cluster nosuch.json
    optilab sweep t.yaml --over optimizer.lr=0.1,0.5 --cluster tcp://x:1 --dry-run
    optilab sweep t.yaml --resume g
    optilab sweep --config t.yaml
    optilab sweep --config nosuch.yaml
    optilab remedy deep.yaml --only relu --epochs 1 --jobs 1 --name rr --runs-dir elsewhere --quiet
    optilab remedy --config elsewhere/rr/study.yaml --dry-run
    optilab remedy deep.yaml --tune 0
    optilab remedy deep.yaml --only relu,relu --dry-run
    optilab remedy
    optilab check nosuch --expect 'f < 1'
    optilab check e --runs-dir elsewhere --expect 'val_acc > 0.01'
    optilab check adam.yaml
    optilab check adam.yaml --seeds 3 --expect 'distance < 1'
    optilab check checks.yaml --expect 'f < 1'
    optilab check checks.yaml --only nosuch
    optilab check checks.yaml --junit x.txt
    optilab diagnose t.yaml --fail-on nosuch
    optilab diagnose e --runs-dir elsewhere --quiet
    optilab diagnose
    optilab report g --runs-dir elsewhere --target 0.1 --until hours --out g.html --quiet
    optilab report g --runs-dir elsewhere --baseline nosuch
    optilab report g --runs-dir elsewhere --by nosuch
    optilab report g --runs-dir elsewhere --out g.txt
    optilab report
    optilab config schema train --json
    optilab data ls --data-dir nosuch
    optilab data fetch mnist --data-dir t.yaml
    optilab runs ls --runs-dir elsewhere
    optilab runs ls --runs-dir nosuch
    optilab runs ls --runs-dir ''
    optilab runs ls --format html
    optilab runs ls --where lr
    optilab runs ls --where 'lr>x'
    optilab runs show e --runs-dir elsewhere --quiet
    optilab runs path nosuch
    optilab runs compare e --runs-dir elsewhere --until minutes
    optilab runs compare e --runs-dir elsewhere --until seconds
    optilab runs compare e --runs-dir elsewhere --at 0
    optilab runs compare g --runs-dir elsewhere --over problems
    optilab runs compare
    optilab runs diff e
    optilab runs export
    optilab runs export e --runs-dir elsewhere
    optilab runs export e --runs-dir elsewhere --to e.csv --tensorboard logs
    optilab runs rm
    optilab runs rm e --runs-dir elsewhere --yes
    optilab optimize --algo adam --json --quiet
    optilab optimize --algo adam --no-save --name x
    optilab optimize --algo adam --runs-dir t.yaml
    optilab optimize --algo adam --tune 3 --set algo.lr=0.1 --no-save
    optilab optimize --algo adam,adam --no-save
    optilab optimize --algo muon --no-save
    optilab optimize --algo adam --expect 'sgd: f < 1' --no-save
    optilab optimize --algo sgd,adam --expect 'adam: f < 1' --json --no-save
    optilab optimize --algo adam --start nan,1
    optilab optimize --algo adam --lr x
    optilab optimize --algo adam --epochs 0
    optilab optimize --algo adam --epochs 1e9
    optilab explain
    optilab explain adam sgd
    optilab explain adam --json --quiet
    optilab explain adam --step 2 --set noise=0.1
    optilab --nosuch
    optilab --help nosuch
    optilab help
    optilab optimise --algo adam
""")

RUNNING = (
    "python import json, pathlib; [(d.update(status='running'), d.pop('finished', 0), p.write_text(json.dumps(d))) "
    "for p in map(pathlib.Path, {}) for d in [json.loads(p.read_text())]]"
)
STOPPED = [
    RUNNING.format(
        "['runs/rich/manifest.json', 'runs/deep/manifest.json', 'runs/grid/manifest.json', 'runs/tpe/manifest.json']"
    ),
    *lines("""
    python import pathlib; [p.unlink() for p in sorted(pathlib.Path("runs/rich/checkpoints").iterdir())[-1:]]
    python import pathlib; (p := pathlib.Path("runs/deep/metrics.csv")).write_text(p.read_text()[:-3])
    python import pathlib; (p := pathlib.Path("runs/grid/trials.csv")).write_text("".join(p.read_text().splitlines(True)[:5]))
    python import pathlib; (p := pathlib.Path("runs/tpe/trials.csv")).write_text("".join(p.read_text().splitlines(True)[:3]))
    optilab runs ls
    optilab runs show rich
    optilab runs show grid
    optilab runs compare grid
    optilab diagnose rich
    optilab train --resume rich
    optilab train --resume deep
    optilab sweep --resume grid --jobs 1
    optilab sweep --resume tpe --jobs 1
    optilab runs ls --format csv
    python import shutil, pathlib; [shutil.rmtree(p) for p in list(pathlib.Path("runs/race").glob("*-final-*"))[:2]]
    python import pathlib; pathlib.Path("runs/pairs/study.yaml").write_text("config: {")
    python import pathlib; (p := pathlib.Path("runs/rem/study.yaml")).write_text(p.read_text() + "nosuch: 3" + chr(10))
    optilab race --resume race --jobs 1
    optilab remedy --resume pairs
    optilab remedy --resume rem
    optilab sweep --resume race
    optilab race --resume grid
    optilab train --resume race
    optilab check grid --expect 'val_acc > 0.01'
    optilab check race --expect 't, adam: val_acc > 0.01'
    optilab train rich.yaml --name rich
    optilab train t.yaml --name grid
    optilab sweep t.yaml --over optimizer.lr=0.1,0.2 --name one
    optilab runs export race halved seeds --to all.csv
    optilab runs diff runs/grid/0.1-relu-s42-bd235106 one
    """),
]

LAB_HEAD = "import json, inspect\nfrom optilab import Lab\nlab = Lab('runs')\n"
LAB = [
    f"python {LAB_HEAD}{code}"
    for code in (
        "for name in sorted(n for n in dir(Lab) if not n.startswith('_')):\n"
        "    if callable(getattr(Lab, name)):\n"
        "        print(name, inspect.signature(getattr(Lab, name)))",
        "repr(lab), lab.folder",
        "show(lab.optimize(algo='sgd,adam', epochs=7))",
        "show(lab.optimize('adam.yaml', set={'algo.lr': 0.1}))",
        "show(lab.optimize({'algo': ['sgd', {'name': 'adam', 'lr': 0.1}], 'function': 'booth'}, start=(1, 2), epochs=5))",
        "show(lab.optimize(algo='adam', tune=5, function='x^2+3*y^4', start=(2, 1)))",
        "p = lab.optimize(algo='sgd,adam', epochs=30); print(p.verdicts, p.report('paths.html')); p.plot().savefig('p.png')",
        "print(lab.optimize(algo='sgd,adam', epochs=30))",
        "lab.optimize(algo='adam', set={'algo.lr': -1})",
        "lab.optimize(algo='adm')",
        "lab.optimize(algo='adam', epoch=3)",
        "show(lab.train('t.yaml', epochs=1, name='one'))",
        "show(lab.train(resume='one', epochs=2))",
        "show(lab.train(fork='one@1', set={'optimizer.lr': 0.01}, name='fork'))",
        "lab.train('t.yaml', name='one')",
        "lab.train()",
        "lab.train(7)",
        "lab.train('sigmod.yaml')",
        "lab.train('t.yaml', set={'optimizer.lr': -1}, epoch=3)",
        "lab.train('t.yaml', set={'optimizer.lr': 1e9}, name='far')",
        "lab.train('t.yaml', epochs=1, name='shown', progress=True)",
        "print(json.dumps(lab.load('one').manifest['argv']))",
        "show(lab.sweep('t.yaml', over={'optimizer.lr': [0.1, 0.5]}, seeds=2, epochs=1, jobs=1, name='grid'))",
        "s = lab.sweep('t.yaml', over={'optimizer.lr': [0.1, 0.5]}, seeds=2, epochs=1, jobs=1, name='grid')\n"
        "print([r.headline for r in s.runs], s.manifest['argv'], s.state); s.report('s.html'); show(s.comparison)",
        "lab.sweep('t.yaml', {'seed': [1, 2]})",
        "lab.sweep('t.yaml', seeds=0)",
        "show(lab.race('sgd,adam', 'booth,beale', budget=3, starts=2, repeats=1, epochs=20, cache=False))",
        "r = lab.race(['sgd', 'adam'], 'booth', budget=3, starts=2, repeats=1, epochs=20); r.report('race.html'); r.plot()",
        "show(lab.race('sgd,adam', on=['t.yaml'], budget=2, seeds=2, epochs=1, set={'data.holdout': 100}, name='r', jobs=1))",
        "lab.race('sgd,adm')",
        "lab.race(on='relu.yaml', starts=3)",
        "lab.race(seeds=3)",
        "lab.race(budgt=3)",
        "lab.race('sgd,adam', budget=0, accuracy=2)",
        "show(lab.compare('grid'))",
        "show(lab.compare(['one', 'fork'], metric='val_loss', at='best', baseline='fork'))",
        "lab.compare('nosuch')",
        "show(lab.load('one'))",
        "show(lab.load('latest'))",
        "lab.load('nosuch')",
        "print(lab.runs())",
        "def momentum(w, g, lr, V, beta):\n    V = beta * V + g\n    return w - lr * V, V\nshow(lab.verify(momentum, 'momentum'))",
        "class Wrong:\n    def __init__(self, lr=0.1, beta=0.9):\n        self.lr, self.beta, self.V = lr, beta, 0.0\n"
        "    def update(self, w, g):\n        self.V = self.beta * self.V + g\n        return w + self.lr * self.V\n"
        "v = lab.verify(Wrong, 'momentum'); v.report('v.html'); show(v)",
        "show(lab.verify('my_adam.py:Adam', 'adam', function='beale', epochs=20))",
        "lab.verify(7, 'sgd')",
        "lab.verify('my_adam.py:Adam', 'adm')",
        "from optilab.optimize import ALGORITHMS, FUNCTIONS\nprint(list(ALGORITHMS), list(FUNCTIONS))\nALGORITHMS['adm']",
        "from optilab.optimize import ALGORITHMS, FUNCTIONS, descend\n"
        "for n, k in ALGORITHMS.items():\n    r = k(); print(n, r, r.formula, k.__doc__)\n",
        "from optilab.optimize import FUNCTIONS\nimport numpy as np\nfor n, k in FUNCTIONS.items():\n    f = k()\n"
        "    print(n, f, f.formula, f.minima, f.source, repr(f.start))\n",
        "from optilab.optimize import ALGORITHMS, FUNCTIONS, descend\nfor n in ALGORITHMS:\n    if n in ('muon',):\n        continue\n    for m in ('ravine', 'beale'):\n"
        "        t = descend(ALGORITHMS[n](), FUNCTIONS[m](), steps=12); print(n, m, t.points[-1].tolist())\n",
        "import optilab\nprint(sorted(n for n in dir(optilab) if n[0] != '_')[:1], optilab.__version__)",
    )
]


def notebook(name: str) -> str:
    """The cells of a notebook as one script, each shown as the notebook shows it; few images, one thread."""
    cells = [
        "".join(c["source"])
        for c in json.loads((ROOT / "docs" / name).read_text())["cells"]
        if c["cell_type"] == "code"
    ]
    parts = []
    for number, cell in enumerate(cells):
        *rest, last = cell.rstrip().split("\n") if cell.strip() else [""]
        source = cell.replace('"data.images": 3000', '"data.images": 600').replace(
            "seeds=2", "seeds=2,\n    jobs=1"
        )
        if (
            re.fullmatch(r"[\w.\[\]:(){}, ]+", last)
            and not last.startswith(("print", " ", ")"))
            and "=" not in last
        ):
            source = "\n".join([*rest, f"cell = {last}", "show(cell) if hasattr(cell, 'rows') else print(cell)"])
            source = source.replace('"data.images": 3000', '"data.images": 600')
        parts.append(f"print('--- cell {number}')\n{source}\n")
    return "python " + "\n".join(parts)


TERMINAL = lines("""
    optilab --help
    optilab optimize --help
    optilab race --help
    optilab optimize --algo adam --epochs 30 --no-save
    optilab optimize --algo sgd,momentum,rmsprop,adam --epochs 30 --no-save
    optilab optimize --algo sgd --function "x^4 - x^2" --start 2 --lr 0.02 --no-save
    optilab explain momentum --step 2
    optilab explain adam --step 2 --format markdown
    optilab map --algo momentum --x algo.lr=0.01:2:60 --y algo.beta=0:0.99:40
    optilab map --algo momentum --function himmelblau --lr 0.01 --basins
    optilab race --algos sgd,adam --functions booth,beale --budget 5 --starts 3 --repeats 2 --epochs 40
    optilab verify my_adam.py:Adam --against adam
    optilab verify --algo adam,adamw
    optilab config ls
    optilab config show train
    optilab config show train model.norm
    optilab config check badtrain.yaml
    optilab data ls
    optilab data where
    optilab env
    optilab check checks.yaml
    optilab train t.yaml --name fresh --epochs 2
    optilab train --resume one
    optilab lr t.yaml --steps 100
    optilab runs ls
    optilab runs ls grid
    optilab runs show one
    optilab runs show one --config
    optilab runs show grid
    optilab runs show race
    optilab runs compare grid
    optilab runs compare one adam switched faster
    optilab runs compare race
    optilab runs diff one adam
    optilab runs plot one
    optilab runs plot one adam
    optilab runs plot grid
    optilab diagnose deep
    optilab diagnose rich
    optilab sweep t.yaml --over optimizer.lr=0.1,0.5 --seeds 2 --dry-run
    optilab race --on t.yaml,deep.yaml --algos sgd,adam --dry-run
    optilab race --resume race
    optilab optimize --algo adm
""")

ALL = {**TRAININGS, **CODE}
GROUPS = [
    Group("optimize", OPTIMIZE, CODE),
    Group("verify", VERIFY, CODE),
    Group("config", CONFIG, ALL),
    Group("fashion", FASHION, CODE),
    Group("make", MAKE, TRAININGS),
    Group("read", READ, TRAININGS, old=True),
    Group("more", MORE, ALL),
    Group("stopped", STOPPED, TRAININGS, old=True),
    Group("lab", LAB, ALL),
    Group("notebooks", [notebook("exercise.ipynb"), notebook("vanishing-gradient.ipynb")], {}),
    Group("terminal100", TERMINAL, ALL, old=True, columns=100),
    Group("terminal80", TERMINAL, ALL, old=True, columns=80),
]
