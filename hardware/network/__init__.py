"""Networks: NIR and lava-dl files made certain, and the float reference that says what a network computes."""

from filopodia.hardware.network.lava_dl import input_current as input_current
from filopodia.hardware.network.load import load as load
from filopodia.hardware.network.load import load_network as load_network
from filopodia.hardware.network.network import Network as Network
from filopodia.hardware.network.network import Semantics as Semantics
from filopodia.hardware.network.simulate import simulate_network as simulate_network
