# Mo: has another name.
class Adagrad:
    pass
